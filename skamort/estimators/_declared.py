"""Declared parameters: each stands once, with its default and its rule, beside its words.

scikit-learn wants every parameter in four places: the signature of `__init__`, its body,
`_parameter_constraints` and the docstring. A class that derives from `Declared` says it once,

    class SAEEncoder(L1Parameters, BaseSAE):
        \"\"\"...

        Parameters
        ----------
        alpha : float
            Weight of the L1 penalty, in the units of the data.
        \"\"\"

        alpha: float = parameter(Interval(Real, 0, None, closed="left"), default=0.1)

and gets the rest when it is made: an `__init__` with an explicit signature, the constraints, and
a docstring with the parameters and attributes of its bases, all in the signature's order. An entry
is inherited or overridden whole, as a method is; nothing is filled in but the default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, make_dataclass
from inspect import cleandoc
from typing import Any, ClassVar, Literal, dataclass_transform

MayChange = Literal["never", "warm", "always"]

# An entry of a section: its head, and the indented or empty lines below.
_ENTRY = re.compile(r"^(\w+)( : .*)?\n((?:(?: .*)?\n)*)", re.MULTILINE)
_HEADER = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """What a class says of a parameter beside its words.

    Attributes
    ----------
    rule : tuple
        What it may be, as scikit-learn's constraints.
    default : object
        Its default.
    kw_only : bool
        Whether it must be given by name.
    may_change : {"never", "warm", "always"}
        Who may go on with another value: "never": none, the weights are made for it; "warm": a warm
        start and `partial_fit`; "always": a run that was interrupted and is resumed too.
    """

    rule: tuple
    default: Any
    kw_only: bool
    may_change: MayChange


def parameter(
    *rule: Any, default: Any, kw_only: bool = True, may_change: MayChange = "never"
) -> Any:
    """Declare a parameter; see `Parameter`."""
    return Parameter(rule, default, kw_only, may_change)


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(parameter,))
class Declared:
    """Base of classes that declare their parameters; type checkers take them for dataclasses."""

    _declared: ClassVar[dict[str, Parameter]] = {}
    _declared_here: ClassVar[dict[str, Parameter]] = {}
    _words_here: ClassVar[str] = ""
    _parameter_constraints: ClassVar[dict[str, list]] = {}

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls._declared_here = _take_out(cls)
        cls._declared = _collect(cls)
        cls._parameter_constraints = {n: list(p.rule) for n, p in cls._declared.items()}
        if not _has_init_by_hand(cls):
            setattr(cls, "__init__", _make_init(cls))  # noqa: B010  # type checkers know their own
        cls._words_here = cleandoc(vars(cls).get("__doc__") or "") + "\n"
        cls.__doc__ = _compose_docstring(cls)


def _take_out(cls: type) -> dict[str, Parameter]:
    """The parameters of a class's own, which leaves an instance without it none."""
    own = {name: value for name, value in vars(cls).items() if isinstance(value, Parameter)}
    for name in own:
        delattr(cls, name)
    return own


def _collect(cls: type) -> dict[str, Parameter]:
    """All parameters: positional ones, the class's own, then those of one base after the other."""
    found: dict[str, Parameter] = {}
    for base in cls.__mro__:
        for name, value in vars(base).get("_declared_here", {}).items():
            found.setdefault(name, value)
    return dict(sorted(found.items(), key=lambda item: item[1].kw_only))


def _has_init_by_hand(cls: type) -> bool:
    """Whether the `__init__` that counts was written in a class that declares parameters."""
    nearest = next(base for base in cls.__mro__ if "__init__" in vars(base))
    return issubclass(nearest, Declared) and not hasattr(vars(nearest)["__init__"], "is_generated")


def _make_init(cls: type[Declared]) -> Any:
    fields = [
        (name, Any, field(default=p.default, kw_only=p.kw_only))
        for name, p in cls._declared.items()
    ]
    init = vars(make_dataclass(cls.__name__, fields))["__init__"]
    init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    init.__annotations__ = {}  # types stand in the docstring, with shapes
    init.is_generated = True
    return init


# -- The docstring ---------------------------------------------------------------------------------


def _compose_docstring(cls: type[Declared]) -> str:
    """The class's docstring with the entries that it inherits."""
    docs = [vars(base).get("_words_here", "") for base in cls.__mro__]
    words = _merged(docs, "Parameters")
    entries = [_with_default(words.pop(n), p) for n, p in cls._declared.items() if n in words]
    entries += words.values()  # of an `__init__` written by hand
    own = _put(docs[0], "Parameters", entries, after=())
    return _put(own, "Attributes", _merged(docs, "Attributes").values(), after=("Parameters",))


def _merged(docs: Sequence[str], section: str) -> dict[str, str]:
    """Entries of a section by name, the farthest base's first; the nearest docstring's counts."""
    return {
        entry[1]: entry[0].rstrip()
        for doc in reversed(docs)
        for entry in _ENTRY.finditer(_sections(doc)[1].get(section, ""))
    }


def _sections(doc: str) -> tuple[str, dict[str, str]]:
    """Split a docstring in what stands before the sections, and these by name."""
    before, *parts = _HEADER.split(doc + "\n")
    return before, dict(zip(parts[::2], parts[1::2], strict=True))


def _with_default(entry: str, declared: Parameter) -> str:
    head, _, text = entry.partition("\n")
    head, default = head.partition(", default=")[0], declared.default
    shown = f'"{default}"' if isinstance(default, str) else repr(default)
    return f"{head}, default={shown}\n{text}"


def _put(doc: str, section: str, entries: Iterable[str], after: Sequence[str]) -> str:
    """Replace a section, or insert it behind the summary and the sections named `after`."""
    before, sections = _sections(doc)
    sections.pop(section, None)
    first = {name: sections.pop(name) for name in after if name in sections}
    body = "\n".join(entries)
    inserted = {section: body + "\n\n"} if body else {}
    whole = {**first, **inserted, **sections}
    text = "".join(f"{name}\n{'-' * len(name)}\n{body}" for name, body in whole.items())
    return (before.rstrip() + "\n\n" + text).rstrip() + "\n"
