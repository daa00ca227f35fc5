"""Parameters that are declared once, in classes made here and in those of the package."""

import ast
import inspect
import pickle
import re
from inspect import Parameter, cleandoc
from itertools import pairwise

import joblib
import pytest
import sklearn
from discovery import fast_estimators, public_estimators
from numpydoc.docscrape import NumpyDocString
from sklearn.base import BaseEstimator, clone
from sklearn.utils.fixes import parse_version

from skamort import MatryoshkaSAE, MLPEncoder, SAEEncoder
from skamort._compat import Interval
from skamort.estimators._declared import Declared, parameter


class Size(Declared):
    """How large it is.

    Parameters
    ----------
    n_parts : int
        Number of parts.
    height : float or None
        Height, in meters.

        None: as high as the parts.

    Attributes
    ----------
    width_ : float
        Width.
    """

    n_parts: int = parameter(int, default=3, kw_only=False)
    height: float | None = parameter(float, None, default=None)


class Colour(Declared):
    """What it looks like.

    Parameters
    ----------
    hue : {"red", "blue"}
        Hue.
    height : float
        Height of the letters on it.

    Attributes
    ----------
    hue_ : str
        Hue that was found.
    """

    hue: str = parameter(str, default="red", may_change="always")
    height: float = parameter(float, default=2.0)


class Toy(Size, Colour, BaseEstimator):
    """A toy.

    Longer words about it.

    Parameters
    ----------
    weight : float
        Weight.

    See Also
    --------
    Size : How large it is.
    """

    weight: float = parameter(float, default=0.5)


class BlueToy(Toy):
    """A blue toy.

    Parameters
    ----------
    hue : {"blue"}
        Hue, which cannot be another.
    """

    hue: str = parameter(str, default="blue")


class OwnInit(Toy):
    """A toy with a constructor of its own."""

    def __init__(self, weight):
        super().__init__(n_parts=7, weight=weight)


# -- What a class gets -----------------------------------------------------------------------------


def test_positional_parameters_come_first_then_the_own_then_those_of_the_groups_in_order():
    given = inspect.signature(Toy).parameters
    assert list(given) == ["n_parts", "weight", "height", "hue"]
    defaults = {name: p.default for name, p in given.items()}
    assert defaults == {"n_parts": 3, "weight": 0.5, "height": None, "hue": "red"}
    kinds = [p.kind for p in given.values()]
    assert kinds == [Parameter.POSITIONAL_OR_KEYWORD, *3 * [Parameter.KEYWORD_ONLY]]


def test_init_assigns_what_is_given_as_it_is():
    given = {"n_parts": [1], "weight": {}, "height": "high", "hue": object()}
    toy = Toy(**given)
    assert all(getattr(toy, name) is value for name, value in given.items())
    assert vars(toy) == given
    assert vars(Toy(4)) == {"n_parts": 4, "weight": 0.5, "height": None, "hue": "red"}
    with pytest.raises(AttributeError):
        Toy.weight  # noqa: B018  # a class holds declarations, not values


def test_unknown_and_extra_positional_arguments_are_named():
    with pytest.raises(TypeError, match=r"Toy.__init__\(\) got an unexpected .* argument 'size'"):
        Toy(size=1)
    with pytest.raises(TypeError, match=r"Toy.__init__\(\) takes .* 2 positional .* 3 were given"):
        Toy(1, 2)
    with pytest.raises(TypeError, match=r"SAEEncoder.__init__\(\) takes .* 2 .* but 3 were given"):
        SAEEncoder(10, 0.1)


def test_constraints_follow():
    assert Toy._parameter_constraints == {
        "n_parts": [int],
        "weight": [float],
        "height": [float, None],
        "hue": [str],
    }


def test_an_init_written_by_hand_is_kept_but_not_inherited_by_name():
    toy = OwnInit(2.0)
    assert (toy.n_parts, toy.weight, toy.hue) == (7, 2.0, "red")
    assert list(inspect.signature(OwnInit).parameters) == ["weight"]
    assert list(OwnInit._declared) == list(Toy._declared)


class Diamond(Toy):
    """A toy."""


class Corner(Diamond, BlueToy):
    """Its bases have one base."""


def test_a_diamond_of_bases_follows_pythons_order():
    """Corner, Diamond, BlueToy, Toy: what BlueToy says of a parameter comes before Toy's word."""
    assert Corner.__mro__[:4] == (Corner, Diamond, BlueToy, Toy)
    assert Corner().get_params() == BlueToy().get_params()
    assert Corner._parameter_constraints == BlueToy._parameter_constraints
    changed = [n for n in Toy().get_params() if BlueToy().get_params()[n] != Toy().get_params()[n]]
    assert changed
    for name in changed:
        words = re.search(rf"^{name} : .*\n(    .*\n)+", BlueToy.__doc__, re.MULTILINE)[0]
        assert words in Corner.__doc__


class ByHand(Toy):
    """A toy.

    Parameters
    ----------
    extra : int, default=3
        Not declared.
    """

    def __init__(self, n_parts=None, *, extra=3):
        super().__init__(n_parts)
        self.extra = extra


class Heir(ByHand):
    """A toy whose base has an `__init__` written by hand."""


def test_an_init_written_by_hand_is_inherited_as_python_does():
    assert Heir(extra=5).extra == 5
    assert "extra : int, default=3\n    Not declared." in ByHand.__doc__
    assert "extra : int, default=3\n    Not declared." in Heir.__doc__


def test_what_is_declared_again_replaces_the_whole():
    assert BlueToy().hue == "blue"
    assert Toy().hue == "red"
    assert BlueToy._declared["hue"].may_change == "never"
    assert Toy._declared["hue"].may_change == "always"
    assert list(inspect.signature(BlueToy).parameters) == ["n_parts", "hue", "weight", "height"]
    # Of two bases the first counts.
    assert Toy._parameter_constraints["height"] == [float, None]


@pytest.mark.parametrize("cls", [Toy, BlueToy])
def test_instances_are_estimators(cls):
    toy = cls(5, height=1.5)
    assert repr(toy) == f"{cls.__name__}(height=1.5, n_parts=5)"
    for copy in (clone(toy), pickle.loads(pickle.dumps(toy))):
        assert type(copy) is cls
        assert copy.get_params() == toy.get_params()
    assert toy.set_params(weight=3).weight == 3
    with pytest.raises(ValueError, match="Invalid parameter 'size'"):
        toy.set_params(size=1)
    assert joblib.hash(toy) == joblib.hash(clone(toy))


def test_a_class_made_in_a_function_is_an_estimator():
    class Local(SAEEncoder):
        """Words.

        Parameters
        ----------
        beta : float
            Nothing.
        """

        beta: float = parameter(float, default=0.0)

    local = Local(4, beta=1.0, alpha=0.2)
    assert repr(clone(local)) == "Local(alpha=0.2, beta=1.0, n_components=4)"
    assert list(inspect.signature(Local).parameters)[:3] == ["n_components", "beta", "activation"]
    assert "beta" not in SAEEncoder().get_params()
    with pytest.raises(TypeError, match=r"<locals>\.Local\.__init__\(\) got .* 'gamma'"):
        Local(gamma=1)


# -- Its docstring ---------------------------------------------------------------------------------


def test_the_docstring_has_all_sections_in_numpydocs_order():
    assert (
        Toy.__doc__
        == cleandoc("""A toy.

        Longer words about it.

        Parameters
        ----------
        n_parts : int, default=3
            Number of parts.
        weight : float, default=0.5
            Weight.
        height : float or None, default=None
            Height, in meters.

            None: as high as the parts.
        hue : {"red", "blue"}, default="red"
            Hue.

        Attributes
        ----------
        hue_ : str
            Hue that was found.
        width_ : float
            Width.

        See Also
        --------
        Size : How large it is.""")
        + "\n"
    )


def test_an_entry_is_inherited_or_replaced_and_its_default_filled_in_once():
    words = NumpyDocString(BlueToy.__doc__)["Parameters"]
    assert [entry.name for entry in words] == list(inspect.signature(BlueToy).parameters)
    by_name = {entry.name: (entry.type, entry.desc) for entry in words}
    hue = '{"blue"}, default="blue"', ["Hue, which cannot be another."]
    assert by_name["hue"] == hue
    assert by_name["n_parts"] == ("int, default=3", ["Number of parts."])
    assert BlueToy.__doc__.count("default=") == 4
    assert "Longer words" not in BlueToy.__doc__
    assert "See Also" not in BlueToy.__doc__


def test_a_class_without_a_docstring_has_the_entries_of_its_bases():
    class Bare(Toy):
        pass

    assert NumpyDocString(Bare.__doc__)["Parameters"] == NumpyDocString(Toy.__doc__)["Parameters"]


# -- The public estimators -------------------------------------------------------------------------

each_estimator = pytest.mark.parametrize("cls", public_estimators(), ids=lambda c: c.__name__)


def sources(cls):
    """Every class that declares something for `cls`, itself first, with its source."""
    for base in cls.__mro__:
        if "_declared" in vars(base) and base is not Declared:
            yield base, ast.parse(cleandoc("\n" + inspect.getsource(base))).body[0]


def written_entries(node, section="Parameters"):
    """The entries that stand in the source, as they were written."""
    doc = NumpyDocString(cleandoc(ast.get_docstring(node) or ""))
    return {entry.name: entry for entry in doc[section]}


def written_declarations(node):
    return {statement.target.id for statement in node.body if isinstance(statement, ast.AnnAssign)}


@each_estimator
def test_every_parameter_is_declared_in_one_group_or_overridden_by_a_subclass_of_it(cls):
    owners = {}
    for base, node in sources(cls):
        for name in written_declarations(node):
            owners.setdefault(name, []).append(base)
    assert owners.keys() == cls._declared.keys()
    for name, found in owners.items():
        for nearer, farther in pairwise(found):
            assert issubclass(nearer, farther), f"{name} in {nearer} and {farther}"


@each_estimator
def test_words_stand_where_a_parameter_is_declared_first_and_are_said_once(cls):
    said, described = {}, set()
    for base, node in reversed(list(sources(cls))):
        entries, declared = written_entries(node), written_declarations(node)
        assert declared - described <= entries.keys(), (
            f"{base.__name__} does not tell of a parameter"
        )
        assert entries.keys() <= base._declared.keys(), f"{base.__name__} tells of no parameter"
        described |= entries.keys()
        for name, entry in entries.items():
            assert "default=" not in entry.type, f"{base.__name__}: {name}"
            assert (entry.type, entry.desc) not in said.get(name, []), f"{base.__name__}: {name}"
            said.setdefault(name, []).append((entry.type, entry.desc))


@each_estimator
def test_attributes_are_worded_once(cls):
    said = {}
    for base, node in sources(cls):
        for name, entry in written_entries(node, "Attributes").items():
            assert (entry.type, entry.desc) not in said.get(name, []), f"{base.__name__}: {name}"
            said.setdefault(name, []).append((entry.type, entry.desc))


# A word with which an entry would go on from the one before.
ANAPHORS = {"It", "Its", "They", "Them", "Their", "These", "Those", "This", "That", "Both", "Ditto"}


@each_estimator
def test_every_entry_reads_alone(cls):
    for section in ("Parameters", "Attributes"):
        for entry in NumpyDocString(cls.__doc__)[section]:
            text = " ".join(entry.desc).strip()
            assert text.endswith("."), entry.name
            assert not text.startswith("...")
            assert not text.endswith("..."), entry.name
            assert text.split()[0].strip(",.:;") not in ANAPHORS, entry.name
            assert text[0].isupper() or text[0] in '"`1', entry.name
            for words in ("see above", "see below", "the former", "the latter", "the same of"):
                assert words not in text.lower(), entry.name


@each_estimator
def test_the_docstring_tells_the_signature(cls):
    entries = NumpyDocString(cls.__doc__)["Parameters"]
    given = inspect.signature(cls).parameters
    assert [entry.name for entry in entries] == list(given) == list(cls._declared)
    assert sorted(given) == sorted(cls().get_params())
    for entry in entries:
        kind, _, default = entry.type.rpartition(", default=")
        assert kind
        assert ast.literal_eval(default) == given[entry.name].default, entry.name


@each_estimator
@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.8"), reason="it has no tooltips yet"
)
def test_scikit_learn_shows_every_parameter_with_its_words(cls):
    """The words are a tooltip of the link to the documentation."""
    from sklearn.utils._repr_html.common import get_docstring

    page = cls()._repr_html_()
    for entry in NumpyDocString(cls.__doc__)["Parameters"]:
        tooltip = get_docstring(cls, "Parameters", entry.name)
        assert tooltip.count("<br>") == len(entry.desc) + 1, entry.name
        assert f"copyToClipboard('{entry.name}'" in page
        assert f"--doc-link-{entry.name};" in page
        assert tooltip in page, entry.name


NUMBERS = [
    (estimator, name)
    for estimator in fast_estimators()
    for name, rule in estimator._parameter_constraints.items()
    if any(isinstance(part, Interval) for part in rule) and "boolean" not in rule
]


@pytest.mark.parametrize(("estimator", "name"), NUMBERS, ids=str)
def test_truth_is_no_number(estimator, name):
    told = f"The '{name}' parameter of {type(estimator).__name__} must be .* Got True"
    with pytest.raises(ValueError, match=told):
        clone(estimator).set_params(**{name: True})._validate_params()


def test_nor_is_it_among_several():
    for sae in (MatryoshkaSAE(3, prefix_sizes=[True, 3]), MLPEncoder(hidden_layer_sizes=[True])):
        with pytest.raises(ValueError, match=r"must be integers .*True"):
            sae.fit([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
