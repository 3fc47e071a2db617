"""One process's folder in procfs, held open, and the fields of its ``stat`` file."""

# This runs for every process that is learnt, where a Path costs more than the system call behind it.
# ruff: noqa: PTH208

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from otelprof.errors import BadInput, FileUnavailable, MissingPrivilege, OtelprofError, ProcessGone
from otelprof.roots import HostRoots

__all__ = ("ProcessDirectory", "ProcessStat", "descendants", "parse_stat", "process_ids")

_MAX_STAT_BYTES = 4096
"""52 numbers of at most 20 digits and a name of at most 64 bytes stay below half of it."""

_CHUNK_BYTES = 65536

_INODE = re.compile(rb"^ino:\t([0-9]+)$", re.MULTILINE)

_PF_KTHREAD = 0x00200000
"""linux/sched.h: the task is a kernel thread."""

_DEAD_STATES = frozenset({"Z", "X", "x"})
"""proc(5): zombie and dead; such a task has no memory any more."""


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What ``/proc/<pid>/stat`` says of a task, see proc_pid_stat(5).

    ``start_ticks`` is field 22, the start in clock ticks since boot. ``start_stack`` is field 28, the
    address of the bottom of the stack: chosen at random by each exec, copied by fork, 0 where it is not shown.
    """

    pid: int
    comm: str
    state: str
    parent_pid: int
    is_kernel_thread: bool
    start_ticks: int
    start_stack: int

    @property
    def is_dead(self) -> bool:
        """Whether the task has ended and only waits for its parent, or for the other threads."""
        return self.state in _DEAD_STATES


def parse_stat(text: bytes) -> ProcessStat:
    """Take ``/proc/<pid>/stat`` apart; raises BadInput when it has another shape.

    The name may hold spaces, parentheses and bytes that are not UTF-8: it ends at the last parenthesis.
    """
    head, opened, rest = text.partition(b"(")
    comm, closed, tail = rest.rpartition(b")")
    fields = tail.split()
    if not opened or not closed or len(fields) < 26:
        raise BadInput("a stat file of procfs has too few fields")
    try:
        return ProcessStat(
            pid=int(head),
            comm=comm.decode("utf-8", "replace"),
            state=fields[0].decode("ascii"),
            parent_pid=int(fields[1]),
            is_kernel_thread=bool(int(fields[6]) & _PF_KTHREAD),
            start_ticks=int(fields[19]),
            start_stack=int(fields[25]),
        )
    except ValueError as error:
        raise BadInput("a stat file of procfs has a field that is not a number") from error


class ProcessDirectory:
    """``/proc/<pid>`` held open, so that all that is read belongs to one process.

    A descriptor of the folder stays with the process it was opened for: after a PID is reused, reading
    raises ProcessGone and never shows the new process. An exec in between is not noticed; compare
    :meth:`stat` before and after.

    When the main thread has ended while others live on, its files are empty: they are then read from
    ``task/<tid>`` of a living thread.

    Raises ProcessGone when there is no such process, or only what is left of one, and MissingPrivilege when
    procfs hides it.
    """

    __slots__ = ("_descriptor", "_folder", "at_open", "pid")

    def __init__(self, roots: HostRoots, pid: int) -> None:
        self.pid = pid
        self.at_open: ProcessStat
        """:meth:`stat` as it was when the folder was opened."""
        self._folder = ""
        try:
            self._descriptor = os.open(f"{roots.proc}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._explain(error) from error
        try:
            self.at_open = self._stat("")
            if self.at_open.is_dead:
                self._folder = self._living_thread()
                self.at_open = self.stat()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._descriptor)

    def stat(self) -> ProcessStat:
        """Read the process's ``stat``; the stack's address comes from a living thread."""
        leader = self._stat("")
        return replace(leader, start_stack=self._stat(self._folder).start_stack) if self._folder else leader

    def chunks(self, name: str) -> Iterator[bytes]:
        """Read a file piece by piece, so that the caller can stop."""
        try:
            descriptor = os.open(self._folder + name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._descriptor)
            try:
                while chunk := os.read(descriptor, _CHUNK_BYTES):
                    yield chunk
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._explain(error) from error

    def read(self, name: str, limit_bytes: int) -> bytes:
        """Return at most the first ``limit_bytes`` of a file."""
        data = b""
        for chunk in self.chunks(name):
            data += chunk
            if len(data) >= limit_bytes:
                return data[:limit_bytes]
        return data

    def link(self, name: str) -> bytes:
        """Return where a symbolic link leads."""
        try:
            return os.readlink((self._folder + name).encode(), dir_fd=self._descriptor)
        except OSError as error:
            raise self._explain(error) from error

    def inode(self, name: str) -> int:
        """Return the kernel's inode number of the file that a link leads to, the one that BPF reads.

        It comes from fdinfo (Linux 5.14, commit 3845f256a8b5): the file system is not asked, which may number its
        files differently for stat(2), or be a FUSE server that never answers.
        """
        hold = self.open_path(name)
        try:
            information = os.open(f"/proc/self/fdinfo/{hold}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                inode = _INODE.search(os.read(information, _MAX_STAT_BYTES))
            finally:
                os.close(information)
            return int(inode[1]) if inode is not None else os.fstat(hold).st_ino
        except OSError as error:
            raise self._explain(error) from error
        finally:
            os.close(hold)

    def open_path(self, name: str) -> int:
        """Return an ``O_PATH`` descriptor of the file that a link leads to."""
        try:
            return os.open(self._folder + name, os.O_PATH | os.O_CLOEXEC, dir_fd=self._descriptor)
        except OSError as error:
            raise self._explain(error) from error

    def _stat(self, folder: str) -> ProcessStat:
        try:
            descriptor = os.open(folder + "stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._descriptor)
            try:
                return parse_stat(os.read(descriptor, _MAX_STAT_BYTES))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._explain(error) from error

    def _living_thread(self) -> str:
        try:
            task = os.open("task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._descriptor)
            try:
                threads = [int(name) for name in os.listdir(task) if name.isdecimal()]
            finally:
                os.close(task)
        except OSError as error:
            raise self._explain(error) from error
        for tid in threads:
            folder = f"task/{tid}/"
            try:
                if not self._stat(folder).is_dead:
                    return folder
            except ProcessGone:
                continue
        raise ProcessGone(self.pid)

    def _explain(self, error: OSError) -> OtelprofError:
        if error.errno in {errno.ENOENT, errno.ESRCH}:
            return ProcessGone(self.pid)
        if error.errno in {errno.EACCES, errno.EPERM}:
            return MissingPrivilege(
                f"process {self.pid} may not be read ({error.strerror}): grant CAP_SYS_PTRACE or run as root"
            )
        return FileUnavailable(f"a file of process {self.pid} in procfs cannot be read: {error.strerror}")


def process_ids(roots: HostRoots) -> tuple[int, ...]:
    """Return the PIDs of all processes, ascending."""
    try:
        names = os.listdir(roots.proc)
    except OSError as error:
        raise FileUnavailable(f"{roots.proc} cannot be read ({error.strerror}): mount procfs there") from error
    return tuple(sorted(int(name) for name in names if name.isdecimal()))


def descendants(roots: HostRoots, pid: int) -> tuple[int, ...]:
    """Return children, grandchildren and so on of a process, parents before their children.

    A child whose parent has ended belongs to another process by then and is not found.
    """
    children: dict[int, list[int]] = {}
    for other in process_ids(roots):
        try:
            with ProcessDirectory(roots, other) as directory:
                children.setdefault(directory.at_open.parent_pid, []).append(other)
        except OtelprofError:
            continue
    found = [pid]
    seen = {pid}
    for parent in found:
        fresh = [child for child in children.get(parent, ()) if child not in seen]
        found += fresh
        seen.update(fresh)
    return tuple(found[1:])
