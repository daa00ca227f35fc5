"""Numba: whether it is installed, and how every kernel is compiled.

Importing this module imports nothing optional; a module of kernels, which decorates functions with
`kernel`, `inner`, `part` and `leaf`, may only be imported where `has_numba`.
"""

from __future__ import annotations

import ast
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from hashlib import sha256
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

# What compilers may do to sums of floating-point numbers: add in any order, and fuse with products.
# NaN stays NaN.
ANY_ORDER = {"reassoc", "contract", "nsz"}
# For kernels that get finite numbers only: infinity may arise in them, NaN may not.
FINITE = ANY_ORDER | {"nnan"}
_LOGGER = logging.getLogger(__package__)
_IMPORTS = (ast.Import, ast.ImportFrom)


@cache
def has_numba() -> bool:
    """Tell whether there are compiled kernels."""
    return find_spec("numba") is not None


def kernel(function: Callable | None = None, **options: Any) -> Any:
    """Compile a function, cached on disk; ``@kernel``, or ``@kernel(fastmath=ANY_ORDER)``.

    Numba's cache notices edits of the module that a kernel is in, but not of those it imports from;
    a fingerprint of them in the kernel's name keeps machine code of another version from being
    used.

    Parameters
    ----------
    function : callable, default=None
        What to compile; None where options are given.
    **options
        Of `numba.njit`, in place of those that all kernels have: they release the GIL, take numbers
        to be finite, and do not check divisors.
    """
    if function is None:
        return partial(kernel, **options)
    from numba import njit

    _announce_compiling()
    function.__qualname__ += f"_{_fingerprint(function.__module__)}"
    shared: dict[str, Any] = {"error_model": "numpy", "fastmath": FINITE, "no_cfunc_wrapper": True}
    if options.get("forceinline"):
        shared["pipeline_class"] = _inliner()
    return njit(**shared | options, cache=True, nogil=True)(function)


@cache
def _inliner() -> type:
    """Compiler of what is only ever inlined, of which no machine code is made."""
    from llvmlite.binding import Linkage
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler import Compiler

    class Library(JITCodeLibrary):
        def _optimize_final_module(self) -> None:
            super()._optimize_final_module()
            for function in self._final_module.functions:
                if not function.is_declaration and function.linkage == Linkage.external:
                    function.linkage = Linkage.available_externally

    class Inliner(Compiler):
        def define_pipelines(self) -> list:
            state = self.state
            state.library = Library(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
            return super().define_pipelines()

    return Inliner


# One that Python does not call: the wrapper for that takes time to compile.
inner = partial(kernel, no_cpython_wrapper=True)
# A kernel that becomes part of those that call it. Called, there would be two of it in the process
# that compiles, and the one that runs would round otherwise than the one in the cache. Python must
# not call it: the wrapper for that, with its code in it once more, would take long to compile.
part = partial(kernel, forceinline=True, no_cpython_wrapper=True)
# One that allocates nothing either. It counts no references to its arrays, which takes longer than
# the work on short ones.
leaf = partial(part, _nrt=False)


@contextmanager
def compile_times() -> Iterator[list[float]]:
    """Collect the seconds that numba compiles inside the block; none where its cache has the
    kernels."""
    seconds: list[float] = []
    if not has_numba():
        yield seconds
        return
    from numba.core.event import install_timer

    with install_timer("numba:compile", seconds.append):
        yield seconds


@cache
def _announce_compiling() -> None:
    """Let the logger "skamort" say, once a process, when kernels are compiled, which takes seconds
    once after an installation or an edit."""
    from numba.core.event import Listener, register

    class Announcement(Listener):
        told = False

        def on_start(self, event: Any) -> None:
            name = event.data["dispatcher"].py_func.__module__
            if not self.told and name.startswith(f"{__package__}."):
                self.told = True
                _LOGGER.warning(
                    "skamort compiles kernels with numba, which takes seconds to a minute; the "
                    "next run finds them on disk."
                )

        def on_end(self, event: Any) -> None:
            pass

    register("numba:compile", Announcement())


@cache
def _fingerprint(name: str) -> str:
    """Short digest of all source that the kernels of a module can contain.

    That is its own and, import after import, that of the modules of its package.
    """
    sources: dict[str, bytes] = {}
    found = [name]
    while found:
        name = found.pop()
        if name not in sources:
            file = getattr(sys.modules[name], "__file__", None)
            sources[name] = Path(file).read_bytes() if file else b""
            found += _imports(sources[name], sys.modules[name].__package__ or "")
    return sha256(b"".join(sources[name] for name in sorted(sources))).hexdigest()[:8]


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Names of the modules of its own package that a module imports at its top."""
    for node in ast.parse(source).body:
        names = [alias.name for alias in node.names] if isinstance(node, _IMPORTS) else []
        if isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            # What is imported from a package may be a module of it.
            names = [origin, *(f"{origin}.{name}" for name in names)]
        root = package.partition(".")[0]
        yield from (name for name in names if name in sys.modules and name.split(".")[0] == root)
