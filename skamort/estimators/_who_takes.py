"""Which estimators take a value of a parameter that another one refuses."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from .._compat import InvalidParameterError, make_constraint


def telling_who_takes(error: InvalidParameterError, owner: Any) -> InvalidParameterError:
    """Return the error of a parameter of `owner` with the estimators that take the value, if there
    are any."""
    named = re.match(r"The '(\w+)' parameter", str(error))
    name = named[1] if named else ""
    takers = list(_takers(name, getattr(owner, name, None)))
    if not takers:
        return error
    return InvalidParameterError(
        f"{error} These estimators take it: {', '.join(takers)}; choose one of them, or a "
        "value that this one takes."
    )


def _takers(name: str, value: Any) -> Iterator[str]:
    package = sys.modules[__name__.partition(".")[0]]
    for kind in package.__all__:
        declared = getattr(getattr(package, kind), "_declared", {}).get(name)
        if declared and any(make_constraint(r).is_satisfied_by(value) for r in declared.rule):
            yield kind
