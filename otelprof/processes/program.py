"""Reading a process as one program: what is read belongs together, although an exec may come at any moment."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from otelprof.errors import MissingPrivilege, OtelprofError, ProcessGone
from otelprof.processes.info import InfoReader
from otelprof.processes.mappings import Mappings, parse_maps
from otelprof.processes.procfs import ProcessDirectory, ProcessStat
from otelprof.processes.resource import ProcessInfo
from otelprof.roots import HostRoots

__all__ = ("Image", "Program", "is_running", "read_mappings_of", "read_program")

_ATTEMPTS = 2
"""A main thread that ends in between leaves empty files behind; its process is read again through another thread."""


@dataclass(frozen=True, slots=True)
class Image:
    """What tells one program of a process from the next; 0 where it is not known.

    ``start_ticks`` is the start of the process as procfs shows it. ``start_stack`` and ``executable_inode`` are set by
    exec and inherited by fork.
    """

    start_ticks: int
    start_stack: int
    executable_inode: int

    def is_program_of(self, start_stack: int, executable_inode: int) -> bool:
        """Whether this is the program with that stack and executable, as far as both sides are known."""
        if not self.start_stack and not self.executable_inode:
            return True
        # A stack that is missing while the executable is shown means that an exec is under way.
        return (not start_stack or start_stack == self.start_stack) and (
            not executable_inode or not self.executable_inode or executable_inode == self.executable_inode
        )


@dataclass(frozen=True, slots=True)
class Program:
    """A running program as it was read."""

    image: Image
    comm: str
    info: ProcessInfo
    mappings: Mappings


def read_program(
    roots: HostRoots,
    reader: InfoReader,
    pid: int,
    is_meant: Callable[[Image], bool],
    *,
    cgroup_id: int = 0,
) -> Program | None:
    """Read a process if it runs the program that is meant, before and after; None otherwise.

    ``cgroup_id`` is the process's control group, if known.
    """
    for _ in range(_ATTEMPTS):
        with suppress(OtelprofError), ProcessDirectory(roots, pid) as directory:
            before = _image(directory, directory.at_open)
            if not is_meant(before):
                return None
            info = reader.read(directory, cgroup_id)
            mappings = _read_maps(directory)
            if _image(directory, directory.stat()) == before:
                return Program(before, directory.at_open.comm, info, mappings)
    return None


def read_mappings_of(roots: HostRoots, pid: int, image: Image) -> Mappings | None:
    """Read the mappings of a process if it runs the program of an image, before and after; None otherwise."""
    for _ in range(_ATTEMPTS):
        with suppress(OtelprofError), ProcessDirectory(roots, pid) as directory:
            if _image(directory, directory.at_open) != image:
                return None
            mappings = _read_maps(directory)
            if _image(directory, directory.stat()) == image:
                return mappings
    return None


def is_running(roots: HostRoots, pid: int, image: Image) -> bool:
    """Whether a process still runs the program of an image; cheaper than reading it."""
    try:
        with ProcessDirectory(roots, pid) as directory:
            stat = directory.at_open
    except ProcessGone:
        return False
    except OtelprofError:
        return True
    # Not shown does not count: a process may have been hidden from us meanwhile (prctl(2), PR_SET_DUMPABLE).
    return stat.start_ticks == image.start_ticks and stat.start_stack in {0, image.start_stack}


def _image(directory: ProcessDirectory, stat: ProcessStat) -> Image:
    try:
        inode = directory.inode("exe")
    except OtelprofError:
        inode = 0
    return Image(stat.start_ticks, stat.start_stack, inode)


def _read_maps(directory: ProcessDirectory) -> Mappings:
    # Kernel threads have none, and newer kernels say so with ESRCH; a process that ended is noticed by its image.
    with suppress(MissingPrivilege, ProcessGone):
        return parse_maps(directory.chunks("maps"))
    return Mappings()
