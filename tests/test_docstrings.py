"""Every public name is documented in numpydoc's form, with an example that the doctests run."""

import importlib
import inspect

import pytest
from numpydoc.validate import validate

PACKAGES = [
    "skamort",
    "skamort.datasets",
    "skamort.hooks",
    "skamort.inspection",
    "skamort.metrics",
    "skamort.solvers",
]

# numpydoc's checks that a reader would miss: https://numpydoc.readthedocs.io/en/latest/validation.html
FORM = {
    "GL06",  # an unknown section
    "GL07",  # sections in the wrong order
    "GL08",  # no docstring
    "SS01",  # no summary
    "SS03",  # a summary that does not end with a period
    "PR01",  # parameters not documented
    "PR02",  # documented parameters that do not exist
    "PR03",  # parameters in the wrong order
    "PR04",  # a parameter without a type
    "PR07",  # a parameter without a description
    "RT01",  # a return value not documented
    "RT03",  # a return value without a description
}
EXAMPLES = {"EX01"}


def public_objects():
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            if callable(getattr(module, name)):
                yield f"{package}.{name}"
    yield "skamort.estimators.fit_many"  # the one name there that is not in skamort itself


def own_methods(qualified_name):
    """Public methods that skamort itself defines, for a class or one of its bases."""
    package, _, name = qualified_name.rpartition(".")
    cls = getattr(importlib.import_module(package), name)
    if not inspect.isclass(cls):
        return
    for base in cls.__mro__:
        if not base.__module__.startswith("skamort"):
            continue
        for method, value in vars(base).items():
            function = getattr(value, "__func__", value)
            # scikit-learn generates set_*_request and documents them itself.
            if not method.startswith("_") and inspect.isfunction(function):
                yield f"{qualified_name}.{method}"


def violations(qualified_name, checks):
    found = validate(qualified_name)["errors"]
    return {code: message for code, message in found if code in checks}


@pytest.mark.parametrize("name", sorted(public_objects()))
def test_public_name_is_documented(name):
    assert violations(name, FORM | EXAMPLES) == {}
    methods = {method: violations(method, FORM) for method in own_methods(name)}
    assert {method: found for method, found in methods.items() if found} == {}
