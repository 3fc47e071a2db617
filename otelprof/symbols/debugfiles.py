"""Separate debug files: where gdb and the distributions put them.

Only places are known here. Whether a file found there belongs to the binary is decided by the worker,
which compares build ids or computes the CRC32 that .gnu_debuglink asks for.
"""

import os
import posixpath
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from otelprof.artifacts.keys import FileKey
from otelprof.errors import FileUnavailable, OtelprofError
from otelprof.symbols.identity import Identity

__all__ = ("debug_file_candidates", "find_debug_file", "no_debug_file")

DEBUG_ROOT: Final = "/usr/lib/debug"
"""The global debug directory of gdb ("Debugging Information in Separate Files" in its manual)."""


def debug_file_candidates(identity: Identity, path: str) -> tuple[str, ...]:
    """Return where the debug file of the binary at ``path`` may be, best first.

    By build id below /usr/lib/debug, then by the name in .gnu_debuglink: beside the binary, in ``.debug``
    beside it and below /usr/lib/debug. All paths belong to the root of the process that runs the binary.
    """
    candidates: list[str] = []
    build_id = identity.build_id_gnu
    if len(build_id) > 2:
        candidates.append(f"{DEBUG_ROOT}/.build-id/{build_id[:2]}/{build_id[2:]}.debug")
    link = identity.debuglink
    # The name comes from the file: it must not lead anywhere else.
    if link and "/" not in link and link not in (".", "..") and path.startswith("/"):
        directory = posixpath.dirname(path)
        candidates += [
            posixpath.join(directory, link),
            posixpath.join(directory, ".debug", link),
            f"{DEBUG_ROOT}{posixpath.join(directory, link)}",
        ]
    return tuple(candidate for candidate in candidates if candidate != path)


def find_debug_file(identity: Identity, path: str, open_in_root: Callable[[str], int]) -> tuple[str, FileKey] | None:
    """Return path and key of the first candidate that exists, None when there is none.

    ``open_in_root`` opens a path in the root of the process and raises OSError or OtelprofError.
    """
    for candidate in debug_file_candidates(identity, path):
        with suppress(OSError, OtelprofError):
            descriptor = open_in_root(candidate)
            try:
                return candidate, FileKey.from_stat(os.fstat(descriptor))
            finally:
                os.close(descriptor)
    return None


def no_debug_file(path: str) -> int:
    """Refuse any path: the ``open_in_root`` of what has no debug files."""
    raise FileUnavailable(f"{path!r} is not looked for")
