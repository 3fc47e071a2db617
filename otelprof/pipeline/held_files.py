"""Files of short-lived processes, kept open until they have been read."""

import os
from collections.abc import Callable
from contextlib import suppress

from otelprof.artifacts.keys import FileKey

__all__ = ("HeldFiles",)

_MAX_FILES = 256
_HOLD_NS = 10_000_000_000
"""Long enough to read what is waiting; an open file keeps its file system from being unmounted."""


class HeldFiles:
    """Descriptors of files that were seen for the first time a moment ago.

    A process may be gone when its binary's turn comes to be read, and with it the only way to open the file.
    """

    def __init__(self, monotonic_ns: Callable[[], int]) -> None:
        self._now_ns = monotonic_ns
        self._files: dict[FileKey, tuple[int, int]] = {}

    def hold(self, key: FileKey, fd: int) -> None:
        """Keep a descriptor, which belongs to this object from now on."""
        self._close(key)
        if len(self._files) >= _MAX_FILES:
            self._close(next(iter(self._files)))
        self._files[key] = fd, self._now_ns() + _HOLD_NS

    def open(self, key: FileKey, otherwise: Callable[[], int]) -> int:
        """Give a new descriptor of a file that is held, else what ``otherwise`` opens."""
        held = self._files.get(key)
        return os.dup(held[0]) if held else otherwise()

    def release(self) -> None:
        """Close those that were held for ten seconds."""
        now_ns = self._now_ns()
        for key, (_, until_ns) in list(self._files.items()):
            if until_ns > now_ns:
                break
            self._close(key)

    def _close(self, key: FileKey) -> None:
        held = self._files.pop(key, None)
        if held:
            with suppress(OSError):
                os.close(held[0])

    def close(self) -> None:
        """Close all of them."""
        for key in list(self._files):
            self._close(key)
