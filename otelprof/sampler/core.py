"""The main sampler: a CO-RE object loaded through libbpf, no compiler at run time."""

import mmap
import os
import struct
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from otelprof.errors import BadRecord, BpfError, MissingFeature
from otelprof.roots import HostRoots
from otelprof.sampler import abi
from otelprof.sampler.libbpf import BpfObject
from otelprof.sampler.mapping_rows import MappingRow, MappingRowTable, Region
from otelprof.sampler.perf import ClockEvents, online_cpus
from otelprof.sampler.records import (
    BuildIdFrame,
    BuildIds,
    Notice,
    Outcome,
    Record,
    SpaceId,
    StackDefinition,
)
from otelprof.sampler.ring import Ring, SampleGroups, SampleRing
from otelprof.sampler.sampler import Counters, SamplerConfig

__all__ = ("CoreSampler", "definition_ring_bytes", "parse_record", "sample_ring_bytes")

_OBJECT = "sampler.bpf.o"
_BTF = Path("/sys/kernel/btf/vmlinux")
_ZERO = bytes(4)

_RING_SECONDS = 4
"""A drain may come this late before samples are lost."""
_SAMPLE_RING_LIMITS_BYTES = (1 << 16, 1 << 24)
_DEFINITION_RING_LIMITS_BYTES = (1 << 20, 1 << 23)
_DEFINITION_BYTES = 600
"""A user stack of 30 frames and a kernel stack of a few."""
_BUILD_ID_VALID = 1


def sample_ring_bytes(frequency_hz: int, cpus: int) -> int:
    """Size of the sample ring: a power of two with room for four seconds of every CPU's samples."""
    return _ring_bytes(frequency_hz * cpus * _RING_SECONDS * (abi.SAMPLE_BYTES + 8), _SAMPLE_RING_LIMITS_BYTES)


def definition_ring_bytes(frequency_hz: int, cpus: int) -> int:
    """Size of the definition ring: room for four seconds in which every second sample has a stack of its own."""
    return _ring_bytes(frequency_hz * cpus * _RING_SECONDS * _DEFINITION_BYTES // 2, _DEFINITION_RING_LIMITS_BYTES)


def _ring_bytes(wanted: int, limits: tuple[int, int]) -> int:
    smallest, largest = limits
    return min(max(1 << (wanted - 1).bit_length(), smallest), largest)


def parse_record(record: memoryview) -> Record:
    """Decode a record of the definition ring; raises BadRecord."""
    try:
        kind, _, length = abi.HEADER.unpack_from(record)
        body = record[:length]
        match kind:
            case abi.RecordKind.KERNEL_STACK:
                return _kernel_stack(body)
            case abi.RecordKind.USER_STACK:
                return _user_stack(body)
            case abi.RecordKind.BUILD_IDS:
                return _build_ids(body)
            case abi.RecordKind.NOTICE:
                return _notice(body)
    except (TypeError, ValueError, struct.error) as error:
        raise BadRecord(f"a record of the kernel side cannot be decoded: {error}") from error
    raise BadRecord(f"the kernel side wrote a record of unknown kind {kind}")


def _kernel_stack(body: memoryview) -> StackDefinition:
    (stack_id,) = abi.KERNEL_STACK.unpack_from(body)
    data = bytes(body[abi.KERNEL_STACK.size :])
    if len(data) % 8:
        raise BadRecord(f"a kernel stack of {len(data)} bytes holds no whole addresses")
    return StackDefinition(stack_id, 0, 0, data, is_kernel=True)


def _user_stack(body: memoryview) -> StackDefinition:
    stack_id, space, pid, count = abi.USER_STACK.unpack_from(body)
    data = bytes(body[abi.USER_STACK.size :])
    if len(data) != count * abi.USER_STACK_FRAME.size:
        raise BadRecord(f"a stack of {count} frames came with {len(data)} bytes")
    return StackDefinition(stack_id, space, pid, data)


def _build_ids(body: memoryview) -> BuildIds:
    stack_id, space = abi.BUILD_IDS.unpack_from(body)
    frames = tuple(
        BuildIdFrame(build_id.rstrip(b"\0") if status == _BUILD_ID_VALID else b"", offset)
        for status, build_id, offset in abi.BUILD_ID.iter_unpack(body[abi.BUILD_IDS.size :])
    )
    return BuildIds(stack_id, space, frames)


def _notice(body: memoryview) -> Notice:
    (
        space,
        parent_space,
        start_ns,
        start_stack,
        executable_inode,
        cgroup_id,
        pid,
        tid,
        parent_pid,
        comm,
    ) = abi.NOTICE.unpack_from(body)
    return Notice(
        space=space,
        pid=pid,
        tid=tid,
        parent_pid=parent_pid,
        start_ns=start_ns,
        start_stack=start_stack,
        executable_inode=executable_inode,
        cgroup_id=cgroup_id,
        comm=abi.decode_comm(comm),
        parent_space=parent_space,
    )


def _read_object() -> bytes:
    path = resources.files("otelprof.sampler") / "objects" / _OBJECT
    try:
        return path.read_bytes()
    except OSError as error:
        raise BpfError(f"the BPF object {_OBJECT} is missing from this installation: run `make bpf`") from error


class CoreSampler:
    """Loads ``bpf/sampler.bpf.c`` and speaks with it; a :class:`otelprof.sampler.sampler.Sampler`."""

    def __init__(self, config: SamplerConfig, roots: HostRoots | None = None) -> None:
        """Load the programs; raises EnvironmentFailure with the fix when the kernel refuses."""
        roots = roots or HostRoots()
        if not _BTF.exists():
            raise MissingFeature(
                f"the kernel does not describe its types: {_BTF} is missing (needs CONFIG_DEBUG_INFO_BTF, Linux 5.5)"
            )
        self._object = BpfObject(_read_object(), _OBJECT)
        try:
            self._load(config, len(online_cpus(roots)))
        except BaseException:
            self._object.close()
            raise
        self._clocks = ClockEvents(roots, config.frequency_hz, self._object.program_fd("on_tick"))

    def _load(self, config: SamplerConfig, cpus: int) -> None:
        self._configure(config)
        ring_bytes = config.sample_ring_bytes or sample_ring_bytes(config.frequency_hz, cpus)
        self._object.set_max_entries("samples", ring_bytes)
        definition_bytes = config.definition_ring_bytes or definition_ring_bytes(config.frequency_hz, cpus)
        self._object.set_max_entries("definitions", definition_bytes)
        self._object.set_max_entries("seen", config.seen_stacks)
        self._object.load()
        self._possible_cpus = self._object.possible_cpus()
        self._samples = SampleRing(self._object.map("samples").fd, ring_bytes)
        self._definitions = Ring(self._object.map("definitions").fd, definition_bytes)
        self._processes = self._object.map("processes")
        self._roles = self._object.map("roles")
        self._counters = self._object.map("counters")
        self._epoch_map = self._object.map("epoch")
        self._epoch = 0
        rows = self._object.map("mapping_rows")
        self._row_memory = mmap.mmap(rows.fd, rows.max_entries * abi.MAPPING_ROW.size)
        self._rows = MappingRowTable(self._row_memory, time.monotonic_ns)
        self._regions: dict[SpaceId, Region] = {}

    def _configure(self, config: SamplerConfig) -> None:
        data = self._object.read_only_data()
        start = bytes(data).find(abi.MAGIC) + len(abi.MAGIC)
        if start < len(abi.MAGIC):
            raise BpfError(f"{_OBJECT} is not of this version; run `make bpf`")
        abi.check_abi(bytes(data[start : start + abi.ABI.size]))
        abi.CONFIG.pack_into(
            data,
            start + abi.ABI.size,
            int.from_bytes(os.urandom(8), "little"),
            config.time_budget_ns,
            config.selected_only,
            config.pid_namespace_inode,
        )

    def start(self) -> None:
        """Follow forks and exits, then start the clocks."""
        self._object.attach("on_fork")
        self._object.attach("on_exit")
        self._clocks.follow_hotplug()

    def fileno(self) -> int:
        """The definition ring, which wakes its readers for notices only."""
        return self._definitions.fd

    def drain_samples(self, groups: SampleGroups) -> int:
        """Add the samples taken so far to ``groups``."""
        return self._samples.drain(groups)

    def drain_records(self) -> list[Record]:
        """Decode the definitions and notices written so far."""
        return [parse_record(record) for record in self._definitions.records()]

    def describe(self, pid: int, space: SpaceId, rows: Sequence[MappingRow]) -> bool:
        """Store the rows in a region of their own, then point the process at it."""
        region = self._rows.put(rows)
        if region is None:
            return False
        self._processes.update(
            pid.to_bytes(4, "little"),
            abi.PROCESS.pack(space, 0, 0, region.first, region.count, region.generation, abi.PROCESS_READY),
        )
        self.forget(space)
        self._regions[space] = region
        return True

    def forget(self, space: SpaceId) -> None:
        """Free the rows of an address space; its process entry dies with the process."""
        if region := self._regions.pop(space, None):
            self._rows.free(region)

    def set_role(self, pid: int, role: abi.Role) -> None:
        """Enter a process into the role table; raises BpfError when it is full."""
        if not self._roles.update(pid.to_bytes(4, "little"), bytes([role])):
            raise BpfError(f"more than {self._roles.max_entries} processes are selected")

    def next_epoch(self) -> None:
        """Make the kernel side write every definition once more."""
        self._epoch = (self._epoch + 1) & 0xFFFFFFFF
        self._epoch_map.update(_ZERO, self._epoch.to_bytes(4, "little"))

    def follow_hotplug(self) -> bool:
        """Sample CPUs that came online."""
        return self._clocks.follow_hotplug()

    def counters(self) -> Counters:
        """Sum the counters of all CPUs."""
        data = self._counters.lookup(_ZERO, abi.COUNTERS.size * self._possible_cpus)
        if data is None:
            raise BpfError("the counters of the sampler cannot be read")
        sums = [sum(column) for column in zip(*abi.COUNTERS.iter_unpack(data), strict=True)]
        names = dict(zip(abi.COUNTER_NAMES, sums, strict=False))
        outcomes = sums[len(abi.COUNTER_NAMES) :]
        return Counters(
            ticks=names["ticks"],
            idle=names["idle"],
            own=names["own"],
            filtered=names["filtered"],
            captured=names["captured"],
            submitted=names["submitted"],
            lost={
                "sample_ring_full": names["lost_sample_ring_full"],
                "stack_ring_full": names["lost_stack_ring_full"],
            },
            outcomes={outcome: outcomes[outcome] for outcome in Outcome},
            unknown_process=names["unknown_process"],
            notices_lost=names["notices_lost"],
            roles_full=names["roles_full"],
        )

    def expected_ticks(self) -> int:
        """Ticks by the clocks' own count of nanoseconds."""
        return self._clocks.expected_ticks()

    def stop(self) -> None:
        """Stop the clocks; what was written can still be drained."""
        self._clocks.close()

    def close(self) -> None:
        """Release programs, maps and mappings."""
        self._clocks.close()
        self._samples.close()
        self._definitions.close()
        self._row_memory.close()
        self._object.close()
