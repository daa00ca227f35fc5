"""Every public name is documented in numpydoc's form, with an example that the doctests run."""

import ast
import importlib
import inspect
import re

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

PACKAGES = [
    "skamort",
    "skamort.datasets",
    "skamort.hooks",
    "skamort.inspection",
    "skamort.metrics",
    "skamort.solvers",
]

ROOMS = ["skamort.estimators", "skamort.interop", "skamort.modules"]
ROOMS += ["skamort.training", "skamort.training.batched"]

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


def public_callables(package):
    """Functions, classes and their public methods, by name."""
    module = importlib.import_module(package)
    for name in module.__all__:
        member = getattr(module, name)
        if inspect.isfunction(member) or inspect.isclass(member):
            yield name, member
        for method, value in inspect.getmembers(member, inspect.isfunction):
            if not method.startswith("_") and value.__module__.startswith("skamort"):
                yield f"{name}.{method}", value


def told_defaults(documented):
    """Return the defaults that a docstring tells, by name of parameter."""
    told = {}
    for parameter in NumpyDocString(inspect.getdoc(documented) or "")["Parameters"]:
        names, found = parameter.name.split(", "), re.search("default=(.+)", parameter.type)
        if found:
            values = found[1].split(", ") if len(names) > 1 else [found[1]]
            told |= dict(zip(names, values * (len(names) // len(values)), strict=True))
    return {name: ast.literal_eval(value) for name, value in told.items()}


@pytest.mark.parametrize("package", PACKAGES + ROOMS)
def test_the_defaults_are_those_that_docstrings_tell(package):
    for name, member in public_callables(package):
        told = told_defaults(member)
        if told:
            parameters = inspect.signature(member).parameters
            assert told == {key: parameters[key].default for key in told}, name
