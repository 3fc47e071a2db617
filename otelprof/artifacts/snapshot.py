"""A copy of untrusted files that cannot change between being hashed and being parsed."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from otelprof.artifacts.memory import create_memory_file, seal, write_all

__all__ = ("Snapshot",)

_CHUNK_BYTES: Final = 1 << 20


class Snapshot:
    """Sealed copies of some open files, and the hash of their content.

    What is shared between files by content must be computed from exactly what was hashed. Time stamps do not
    tell whether a file changed meanwhile: writes through a shared mapping leave them alone.

    Files larger than ``limit_bytes`` together are not copied: ``files`` are then the originals and
    ``content`` is None. Raises OSError when a file cannot be read.
    """

    def __init__(self, originals: Sequence[int], limit_bytes: int) -> None:
        self.files: tuple[int, ...] = tuple(originals)
        self.content: bytes | None = None
        self.size_bytes = sum(os.fstat(file).st_size for file in originals)
        self._copies: list[int] = []
        if self.size_bytes > limit_bytes:
            _require_read_only(originals)
            return
        try:
            self._copy(originals, limit_bytes)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the copies; the originals stay open."""
        for copy in self._copies:
            with suppress(OSError):
                os.close(copy)
        self._copies = []

    def _copy(self, originals: Sequence[int], limit_bytes: int) -> None:
        content = hashlib.sha256()
        copied = 0
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        for original in originals:
            digest = hashlib.sha256()
            copy = create_memory_file("otelprof-input")
            self._copies.append(copy)
            at = 0
            # Sizes lie: files of procfs have none, others grow.
            while count := os.preadv(original, [buffer], at):
                if copied + count > limit_bytes:
                    _require_read_only(originals)
                    self.close()
                    return
                digest.update(buffer[:count])
                write_all(copy, buffer[:count])
                at += count
                copied += count
            seal(copy)
            content.update(digest.digest())
        self.size_bytes = copied
        self.files = tuple(self._copies)
        self.content = content.digest()


def _require_read_only(files: Sequence[int]) -> None:
    """Keep a descriptor that could change the file from reaching the parser."""
    for file in files:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(errno.EACCES, "it is open for writing")
