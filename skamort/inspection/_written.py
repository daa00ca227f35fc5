"""Reports as files: what stood there is replaced as a whole, or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

# No text of Unicode has these, and UTF-8 has no bytes for them.
_SURROGATES = re.compile("[\ud800-\udfff]")
_CHUNK = re.compile(r"skamort-[0-9a-f]{16}-\d+\.js")


def check_place(path: Path) -> None:
    """Refuse to write a report to where no file can be, before anything is computed for it."""
    if path.is_dir():
        raise IsADirectoryError(f"A report is a file, and {str(path)!r} is a folder; add a name.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(path.parent)!r} is not there; make it first.")


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8, with lone surrogates as U+FFFD; an interrupt leaves the old one."""
    content, path = _encoded(text), Path(os.path.realpath(path))
    check_place(path)
    if path.exists() and not path.is_file():  # a pipe
        path.write_bytes(content)
        return
    temporary = path.with_name(f".skamort-{secrets.token_hex(8)}")
    try:
        temporary.write_bytes(content)
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_chunks(page: Path, chunks: Sequence[str]) -> str:
    """Write scripts of data beside a page and return the start of their addresses in it.

    Their names tell their content: those of the page that stands there are left to it.
    """
    digest = hashlib.sha256(b"\0".join(map(_encoded, chunks))).hexdigest()[:16]
    folder, start = _folder(page), f"skamort-{digest}-"
    folder.mkdir(exist_ok=True)
    for number, chunk in enumerate(chunks):
        write_text(folder / f"{start}{number}.js", f"skamortChunk({number},{chunk});")
    return f"{quote(os.fsencode(folder.name))}/{start}"


def remove_chunks(page: Path, start: str | None) -> None:
    """Remove the scripts of data beside a page but those at addresses that it reads."""
    folder = _folder(page)
    for name in os.listdir(folder) if folder.is_dir() else []:
        if _CHUNK.fullmatch(name) and not (start and name.startswith(start.rpartition("/")[2])):
            (folder / name).unlink()


def _folder(page: Path) -> Path:
    return page.with_name(f"{page.name}_files")


def _encoded(text: str) -> bytes:
    return _SURROGATES.sub("\ufffd", text).encode()
