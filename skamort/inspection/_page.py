"""The frame of all reports: a page of HTML with style and scripts inside, closed to others."""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Sequence
from datetime import datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from string import Template

_PACKAGES = ("skamort", "torch", "scikit-learn", "skorch", "numpy", "scipy", "numba")


def make_page(
    title: str,
    sections: Sequence[str],
    scripts: Sequence[str],
    *,
    style: str = "",
    loads_scripts: bool = False,
) -> str:
    """Return a page.

    Parameters
    ----------
    title : str
        Heading.
    sections : sequence of str
        HTML.
    scripts : sequence of str
        Names of files beside this one, which run as one.
    style : str, default=""
        Name of a file with more style.
    loads_scripts : bool, default=False
        Whether the scripts may load others; nothing else in the page may.
    """
    script = "".join(map(resource, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(resource("_page.html")).substitute(
        title=escape(title),
        subtitle=f"skamort, {datetime.now().astimezone():%d %B %Y, %H:%M %Z}",
        style=resource("_page.css") + (resource(style) if style else ""),
        sections="\n".join(sections),
        script=script,
        script_source=f"'sha256-{digest}'" + (" 'strict-dynamic'" if loads_scripts else ""),
    )


def resource(name: str) -> str:
    """Return the text of a file of this folder."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def versions() -> dict[str, str]:
    """Return what computed it."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "Python": platform.python_version(), "platform": platform.platform()}
