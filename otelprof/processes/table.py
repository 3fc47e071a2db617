"""The processes that were sampled, by the address space of their program."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from otelprof.model.stack import Resource
from otelprof.processes.boot_clock import read_boot_clock
from otelprof.processes.cgroup_tree import CgroupTree
from otelprof.processes.host import Host
from otelprof.processes.info import InfoReader
from otelprof.processes.mappings import Mappings, ProcessMapping
from otelprof.processes.program import Image, is_running, read_mappings_of, read_program
from otelprof.processes.resource import ProcessInfo, build_resource
from otelprof.roots import HostRoots
from otelprof.sampler.records import Notice, SpaceId

__all__ = ("DEFAULT_LIMIT", "KEEP_ENDED_NS", "Process", "ProcessTable")

DEFAULT_LIMIT = 4096
"""Processes kept, ended ones included: some 5 KB each."""

KEEP_ENDED_NS = 60_000_000_000
"""How long an ended process stays known: samples of it may be on their way, and its children refer to it."""


@dataclass(frozen=True, slots=True)
class Process:
    """A program that was sampled; an exec makes another one of it.

    ``gone`` means that the process has ended or runs another program: what is known was read before, comes from the
    notice alone, or from the parent that it was forked from. ``maps_pid`` is the process to open the files of the
    ``mappings`` with: itself, or that parent. ``mappings_truncated`` is set when there were too many.
    """

    space: SpaceId
    pid: int
    start_ns: int
    comm: str
    mappings: tuple[ProcessMapping, ...]
    mappings_truncated: bool
    maps_pid: int
    info: ProcessInfo
    resource: Resource
    gone: bool = False

    @property
    def executable(self) -> str:
        """Path of the executable, "" if unknown."""
        return self.info.executable


@dataclass(slots=True)
class _Entry:
    process: Process
    image: Image
    ended_ns: int = 0


class ProcessTable:
    """Learns who is running, one notice at a time, and forgets who has ended.

    Reads /proc/<pid> only for processes that were sampled, and believes what it read only if the process ran the
    program of the notice before and after.

    ``clock`` is monotonic, in ns. ``limit`` bounds how many processes are kept, the longest-ended going first.
    ``infer_from_command`` and ``with_command_line`` are those of InfoReader.
    """

    def __init__(
        self,
        roots: HostRoots,
        host: Host | None,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        limit: int = DEFAULT_LIMIT,
        infer_from_command: bool = False,
        with_command_line: bool = False,
    ) -> None:
        self._roots = roots
        self._host = host
        self._clock = clock
        self._limit = limit
        self._boot_clock = read_boot_clock(roots)
        self._reader = InfoReader(
            self._boot_clock,
            CgroupTree(roots, clock=clock),
            infer_from_command=infer_from_command,
            with_command_line=with_command_line,
        )
        # Both in the order of arrival.
        self._living: dict[SpaceId, _Entry] = {}
        self._ended: dict[SpaceId, _Entry] = {}
        self._unreported: list[Process] = []

    def __len__(self) -> int:
        return len(self._living) + len(self._ended)

    def get(self, space: SpaceId) -> Process | None:
        """Return a process that was learnt, None when it was not or is forgotten."""
        entry = self._living.get(space) or self._ended.get(space)
        return entry.process if entry is not None else None

    def learn(self, notice: Notice) -> Process:
        """Read the process that a notice speaks of, and keep it.

        One that has ended or runs another program by now is put together from the notice: its name, its control
        group and, if it still ran the program of the parent that it was forked from, what is known of that one.
        """
        self._living.pop(notice.space, None)
        self._ended.pop(notice.space, None)
        entry = self._read(notice)
        if entry is not None:
            self._living[notice.space] = entry
        else:
            entry = self._recall(notice)
            self._end(entry)
        self._evict()
        return entry.process

    def refresh_mappings(self, space: SpaceId) -> Process | None:
        """Read the mappings of a process again, since libraries come and go; None when it is not known."""
        entry = self._living.get(space)
        if entry is None:
            return self.get(space)
        mappings = read_mappings_of(self._roots, entry.process.pid, entry.image)
        if mappings is None:
            self._end(entry)
        else:
            entry.process = replace(entry.process, mappings=mappings.entries, mappings_truncated=mappings.truncated)
        return entry.process

    def sweep(self) -> tuple[Process, ...]:
        """Look which processes still run, and return those that ended or were evicted since the last sweep.

        No new samples of these will come, but some may be on their way: ended ones stay known for
        :data:`KEEP_ENDED_NS`, as far as the limit allows. A process that was evicted may live: when it is no longer
        described to the kernel, its next sample brings a notice.
        """
        for entry in list(self._living.values()):
            if not is_running(self._roots, entry.process.pid, entry.image):
                self._end(entry)
        oldest_ns = self._clock() - KEEP_ENDED_NS
        for entry in list(self._ended.values()):
            if entry.ended_ns > oldest_ns:
                break
            del self._ended[entry.process.space]
        reported, self._unreported = tuple(self._unreported), []
        return reported

    def _end(self, entry: _Entry) -> None:
        entry.process = replace(entry.process, gone=True)
        entry.ended_ns = self._clock()
        self._living.pop(entry.process.space, None)
        self._ended[entry.process.space] = entry
        self._unreported.append(entry.process)

    def _evict(self) -> None:
        while len(self) > self._limit:
            if self._ended:
                del self._ended[next(iter(self._ended))]
            else:
                self._unreported.append(self._living.pop(next(iter(self._living))).process)

    def _read(self, notice: Notice) -> _Entry | None:
        start_ticks = self._boot_clock.ticks(notice.start_ns)

        def is_meant(image: Image) -> bool:
            return image.start_ticks == start_ticks and image.is_program_of(notice.start_stack, notice.executable_inode)

        program = read_program(self._roots, self._reader, notice.pid, is_meant, cgroup_id=notice.cgroup_id)
        if program is None:
            return None
        return _Entry(self._process(notice, program.comm, program.info, program.mappings, notice.pid), program.image)

    def _recall(self, notice: Notice) -> _Entry:
        parent = self._forked_from(notice)
        if parent is None:
            process = self._process(notice, notice.comm, self._reader.recall(notice, None), Mappings(), notice.pid)
        else:
            info, mappings, maps_pid = parent
            process = self._process(notice, notice.comm, self._reader.recall(notice, info), mappings, maps_pid)
        start_ticks = self._boot_clock.ticks(notice.start_ns)
        return _Entry(process, Image(start_ticks, notice.start_stack, notice.executable_inode))

    def _forked_from(self, notice: Notice) -> tuple[ProcessInfo, Mappings, int] | None:
        """Return info, mappings and ``maps_pid`` of a parent that runs the notice's program, by its inherited stack."""
        if not notice.start_stack:
            return None

        def is_same(image: Image) -> bool:
            return image.start_stack != 0 and image.is_program_of(notice.start_stack, notice.executable_inode)

        entry = self._living.get(notice.parent_space) or self._ended.get(notice.parent_space)
        if entry is not None and is_same(entry.image):
            process = entry.process
            return process.info, Mappings(process.mappings, process.mappings_truncated), process.maps_pid
        program = read_program(self._roots, self._reader, notice.parent_pid, is_same)
        return (program.info, program.mappings, notice.parent_pid) if program is not None else None

    def _process(self, notice: Notice, comm: str, info: ProcessInfo, mappings: Mappings, maps_pid: int) -> Process:
        return Process(
            space=notice.space,
            pid=notice.pid,
            start_ns=notice.start_ns,
            comm=comm,
            mappings=mappings.entries,
            mappings_truncated=mappings.truncated,
            maps_pid=maps_pid,
            info=info,
            resource=build_resource(info, self._host),
        )
