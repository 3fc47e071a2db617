"""Which version of which file an artifact was computed from."""

import os
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ("FileKey", "key_name", "may_still_change")

_MAX_FILES: Final = 3
_MAX_NUMBER: Final = (1 << 64) - 1
"""Three files of five such numbers fit into a file name of 255 bytes. Time stamps of hostile file systems may
be larger; they are cut."""

_SETTLED_NS: Final = 2_000_000_000
"""A file written less than this ago may be written again without a new time stamp: ticks of file systems
are 1-10 ms, of FAT 2 s."""


class FileKey(NamedTuple):
    """One state of one file, as cheap to find as a ``stat``; ``device`` 0 marks a key made by hand."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def from_stat(cls, stat: os.stat_result) -> "FileKey":
        """Take the key from the ``fstat`` of the very descriptor that will be read."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    @classmethod
    def synthetic(cls, *facts: bytes) -> "FileKey":
        """Make a key for something that is not a file on disk, from whatever tells its states apart."""
        import hashlib

        digest = hashlib.sha256(b"".join(len(fact).to_bytes(8, "little") + fact for fact in facts)).digest()
        numbers = [int.from_bytes(digest[at : at + 8], "little") for at in range(0, 32, 8)]
        return cls(0, *numbers)

    @property
    def is_synthetic(self) -> bool:
        """Whether no file has this key: the kernel gives no file system device number 0."""
        return self.device == 0


def key_name(key: Sequence[FileKey]) -> str:
    """Return the file name under which a key is remembered; raises ValueError unless it has one to three files."""
    if not 1 <= len(key) <= _MAX_FILES:
        raise ValueError("an artifact is computed from one to three files")
    return "+".join("_".join(f"{number & _MAX_NUMBER:x}" for number in file) for file in key)


def may_still_change(key: Sequence[FileKey]) -> bool:
    """Tell whether a file is so young that another write could leave its key as it is."""
    settled = time.time_ns() - _SETTLED_NS
    return any(not file.is_synthetic and max(file.mtime_ns, file.ctime_ns) > settled for file in key)
