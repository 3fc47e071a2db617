"""Executable mappings of a process, from ``/proc/<pid>/maps``."""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from os import fsdecode, makedev

from otelprof.processes.procfs import ProcessDirectory
from otelprof.roots import HostRoots

__all__ = ("MAX_MAPPINGS", "MAX_MAPS_BYTES", "Mappings", "ProcessMapping", "parse_maps", "read_mappings")

MAX_MAPPINGS = 16_384
"""Executable mappings kept of one process: 3 MB of them. Ordinary programs have 3 to 300."""

MAX_MAPS_BYTES = 16 << 20
"""Text read of one process: some 200,000 mappings, three times the default vm.max_map_count.

Maps of two million lines exist; reading one takes seconds and keeps the process from mapping meanwhile.
"""

_MAX_LINE_BYTES = 4 * 4096 + 128
"""A path has at most PATH_MAX bytes, of which each newline takes four characters."""

# proc_pid_maps(5): start-end rwxp offset major:minor inode path.
_EXECUTABLE = re.compile(
    rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) [r-][w-]x[ps] "
    rb"([0-9a-f]{1,16}) ([0-9a-f]{1,7}):([0-9a-f]{1,7}) ([0-9]{1,20}) *(.*)"
)

_PERMISSIONS_END = 38
"""Two addresses of 16 digits, what is between them and the permissions: no other x is so far to the left."""

_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class ProcessMapping:
    """An executable mapping.

    ``path`` is as the mapping process's mount namespace names the file, without the mark of a deleted one, and
    with surrogates for bytes that are not UTF-8 (``os.fsencode`` gives them back). For memory without a file it is
    "" or a name in brackets, such as ``[anon:JIT]``. ``device`` is the kernel's own, which on btrfs and overlayfs
    is not the one that stat(2) gives.
    """

    start: int
    end: int
    file_offset: int
    device: int
    inode: int
    path: str
    deleted: bool = False

    @property
    def is_vdso(self) -> bool:
        """Whether the kernel's virtual shared object is mapped here."""
        return self.path == "[vdso]"

    @property
    def is_file(self) -> bool:
        """Whether a file is mapped: one on disk, in a memfd, or shared memory."""
        return self.inode != 0


@dataclass(frozen=True, slots=True)
class Mappings:
    """Executable mappings by ascending address; ``truncated`` when a limit stopped the reading."""

    entries: tuple[ProcessMapping, ...] = ()
    truncated: bool = False


def parse_maps(
    chunks: Iterable[bytes], *, max_mappings: int = MAX_MAPPINGS, max_bytes: int = MAX_MAPS_BYTES
) -> Mappings:
    """Pick the executable mappings out of the text of a ``maps`` file, which may be cut anywhere.

    What does not look like a mapping is left out. The kernel writes a newline in a path as ``\\012`` and
    leaves backslashes alone, so a path that holds these four characters is mistaken; likewise one that
    ends in `` (deleted)``. Both are found out by the inode when the file is opened.
    """
    entries: list[ProcessMapping] = []
    rest = b""
    total_bytes = 0
    for chunk in chunks:
        total_bytes += len(chunk)
        whole, newline, tail = chunk.rpartition(b"\n")
        if newline:
            _collect(rest + whole, entries)
            rest = tail
        else:
            rest += tail
        if len(entries) > max_mappings or total_bytes >= max_bytes or len(rest) > _MAX_LINE_BYTES:
            return Mappings(tuple(entries[:max_mappings]), truncated=True)
    _collect(rest, entries)
    return Mappings(tuple(entries[:max_mappings]), truncated=len(entries) > max_mappings)


def read_mappings(roots: HostRoots, pid: int) -> Mappings:
    """Read the executable mappings of a process.

    Raises ProcessGone or MissingPrivilege. A kernel thread has none.
    """
    with ProcessDirectory(roots, pid) as directory:
        return parse_maps(directory.chunks("maps"))


def _collect(lines: bytes, entries: list[ProcessMapping]) -> None:
    for line in lines.split(b"\n"):
        if line.find(b"x", 0, _PERMISSIONS_END) < 0:
            continue
        match = _EXECUTABLE.fullmatch(line)
        if match is None:
            continue
        start, end, offset, major, minor, inode, raw_path = match.groups()
        # Executed by the kernel on the caller's behalf, if at all: no code that could be sampled.
        if raw_path == b"[vsyscall]":
            continue
        path = fsdecode(raw_path.replace(rb"\012", b"\n"))
        deleted = path.endswith(_DELETED)
        entries.append(
            ProcessMapping(
                int(start, 16),
                int(end, 16),
                int(offset, 16),
                makedev(int(major, 16), int(minor, 16)),
                int(inode),
                # Few paths, many processes: one string for all.
                sys.intern(path.removesuffix(_DELETED)),
                deleted,
            )
        )
