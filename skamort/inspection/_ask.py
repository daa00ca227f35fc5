"""Questions to a callable that answers in words: cached, timed, never fatal."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, MutableMapping
from os import PathLike
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from .._validation import as_path, check_real

Explainer = Callable[[str], str]
_EXPLANATION = re.compile(r"[\[*# ]{0,9}EXPLANATION[\]* ]{0,9}:(.*)", re.IGNORECASE)
_LIST = re.compile(r"\[[\s\d,]*\]")
_LONGEST_NUMBER = 4
_LONGEST_ANSWER = 1 << 20  # characters that are read


class FolderCache(MutableMapping[str, str]):
    """Answers by prompt, a file each, in a folder.

    Parameters
    ----------
    path : path-like
        The folder; made where it does not exist.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from skamort.inspection import FolderCache
    >>> folder = mkdtemp()
    >>> FolderCache(folder)["a question"] = "an answer"
    >>> FolderCache(folder)["a question"]
    'an answer'
    """

    def __init__(self, path: str | PathLike[str]):
        self.path = as_path(path, "FolderCache: path")
        self.path.mkdir(parents=True, exist_ok=True)

    def _file(self, prompt: str) -> Path:
        digest = hashlib.sha256(prompt.encode(errors="surrogatepass")).hexdigest()
        return self.path / f"{digest}.txt"

    def __getitem__(self, prompt: str) -> str:
        try:
            return self._file(prompt).read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            raise KeyError(prompt) from None

    def __setitem__(self, prompt: str, answer: str) -> None:
        new = self._file(prompt).with_suffix(".new")
        new.write_text(answer, encoding="utf-8", errors="replace")
        new.replace(self._file(prompt))

    def __delitem__(self, prompt: str) -> None:
        self._file(prompt).unlink()

    def __iter__(self) -> Any:
        raise TypeError("FolderCache keeps no prompts, only what they were answered.")

    def __len__(self) -> int:
        return len(list(self.path.glob("*.txt")))


class Asker:
    """Asks, and counts what came back.

    Parameters
    ----------
    explainer : callable
        From a prompt to an answer, both str.
    cache : MutableMapping or None
        Answers by prompt; only those that could be read are kept.
    timeout : float or None
        Seconds after which a question counts as not answered. What is asked goes on in its thread.
    """

    def __init__(
        self, explainer: Explainer, cache: MutableMapping[str, str] | None, timeout: float | None
    ):
        if not callable(explainer):
            raise TypeError(
                f"what explains must be callable, from a prompt to an answer, got {explainer!r}."
            )
        self._explainer = explainer
        self._timeout = None if timeout is None else check_real(timeout, "timeout")
        self._cache: MutableMapping[str, str] = {} if cache is None else cache

    def ask(self, prompt: str, read: Callable[[str], Any]) -> Any:
        """Return what `read` makes of the answer; None where there is none that it can read."""
        stored = self._cache.get(prompt)
        found = read(stored) if isinstance(stored, str) else None
        if found is not None:
            return found
        try:
            answer = self._answer(prompt)
        except Exception:  # whatever a service does wrong, the other questions are still asked
            return None
        found = read(answer) if isinstance(answer, str) else None
        if found is not None:
            self._cache[prompt] = answer
        return found

    def _answer(self, prompt: str) -> Any:
        if self._timeout is None:
            return self._explainer(prompt)
        answers: SimpleQueue[Any] = SimpleQueue()
        asking = Thread(target=self._put_answer, args=(prompt, answers), daemon=True)
        asking.start()  # as a daemon, or one that never answers would keep Python from ending
        return answers.get(timeout=self._timeout)

    def _put_answer(self, prompt: str, answers: SimpleQueue[Any]) -> None:
        try:
            answers.put(self._explainer(prompt))
        except Exception:
            answers.put(None)


def read_explanation(answer: str) -> str | None:
    """Return what stands in the last line of the form ``[EXPLANATION]: ...``."""
    lines = map(_EXPLANATION.fullmatch, answer[-_LONGEST_ANSWER:].splitlines())
    found = [line[1].strip(" *") for line in lines if line]
    return (found[-1] or None) if found else None


def read_numbers(answer: str, n: int, most: int) -> list[int] | None:
    """Return the last list in an answer, if it holds n whole numbers from 0 to `most`."""
    last = answer[-_LONGEST_ANSWER:].rpartition("[")[2]
    found = _LIST.match("[" + last)
    entries = found[0].strip("[]").rstrip(", \n").split(",") if found else []
    if len(entries) != n or not all(each.strip().isdecimal() for each in entries):
        return None
    numbers = [int(each) for each in entries if len(each.strip()) <= _LONGEST_NUMBER]
    return numbers if len(numbers) == n and max(numbers, default=0) <= most else None
