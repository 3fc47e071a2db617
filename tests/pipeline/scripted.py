"""A sampler that plays what a test wrote, and records as the kernel side writes them."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from otelprof.sampler import abi
from otelprof.sampler.mapping_rows import MappingRow
from otelprof.sampler.records import FrameKind, Outcome, Record, SpaceId, StackDefinition, StackId
from otelprof.sampler.ring import SampleGroups
from otelprof.sampler.sampler import Counters

__all__ = ("Clock", "KernelSide", "ScriptedSampler", "identity", "kernel_stack", "native", "raw", "user_stack")

Frame = tuple[int, int]


@dataclass
class Clock:
    """CLOCK_MONOTONIC in ns, as far as the test has moved it."""

    now_ns: int = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def identity(
    pid: int = 10,
    space: int = 1,
    *,
    tid: int = 0,
    kernel: int = 0,
    user: int = 0,
    cgroup: int = 0,
    cpu: int = 0,
    outcome: int = Outcome.COMPLETE,
    comm: bytes = b"app",
) -> bytes:
    """The 64 bytes that samples are grouped by."""
    return abi.IDENTITY.pack(pid, tid or pid, space, kernel, user, cgroup, cpu, outcome, 1, comm)


def raw(address: int, *, called: bool = True) -> Frame:
    """A frame whose address was not normalised; the leaf is not ``called``."""
    return FrameKind.RAW | called << 8, address


def native(binary: int, address: int, *, called: bool = True) -> Frame:
    """A frame in a binary that user space has described."""
    return FrameKind.NATIVE | called << 8 | binary << 32, address


def user_stack(stack_id: StackId, *frames: Frame, space: SpaceId = 0, pid: int = 10) -> StackDefinition:
    """A definition; ``space`` is that of its raw frames."""
    return StackDefinition(stack_id, space, pid, b"".join(abi.USER_STACK_FRAME.pack(*frame) for frame in frames))


def kernel_stack(stack_id: StackId, *addresses: int) -> StackDefinition:
    """A definition of kernel frames."""
    return StackDefinition(
        stack_id, 0, 0, b"".join(address.to_bytes(8, "little") for address in addresses), is_kernel=True
    )


@dataclass
class ScriptedSampler:
    """Implements :class:`otelprof.sampler.sampler.Sampler`: yields what the test puts in, notes what it is told."""

    rows_left: bool = True
    samples: list[tuple[bytes, int]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)
    """What the next call of a method raises."""
    described: dict[SpaceId, tuple[MappingRow, ...]] = field(default_factory=dict)
    descriptions: Counter[tuple[SpaceId, int]] = field(default_factory=Counter)
    forgotten: list[SpaceId] = field(default_factory=list)
    roles: dict[int, abi.Role] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    drained: int = 0

    def __post_init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)

    def _called(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.failing:
            raise self.failing.pop(name)

    def sample(self, *samples: tuple[bytes, int]) -> None:
        """Put samples into their ring: identity and time."""
        self.samples += samples

    def write(self, *records: Record) -> None:
        """Put definitions into their ring."""
        self.records += records

    def notify(self, *records: Record) -> None:
        """Put records into their ring, the last of them one that wakes the reader."""
        self.records += records
        os.eventfd_write(self._fd, 1)

    # What every sampler offers

    def start(self) -> None:
        self._called("start")

    def fileno(self) -> int:
        return self._fd

    def drain_samples(self, groups: SampleGroups) -> int:
        samples, self.samples = self.samples, []
        for who, time_ns in samples:
            groups.setdefault(who, []).append(time_ns)
        self.drained += len(samples)
        self._called("drain_samples")
        return len(samples)

    def drain_records(self) -> list[Record]:
        self._called("drain_records")
        records, self.records = self.records, []
        return records

    def describe(self, pid: int, space: SpaceId, rows: Sequence[MappingRow]) -> bool:
        self._called("describe")
        if self.rows_left:
            self.described[space] = tuple(rows)
            self.descriptions[space, pid] += 1
        return self.rows_left

    def forget(self, space: SpaceId) -> None:
        self._called("forget")
        self.forgotten.append(space)
        self.described.pop(space, None)

    def set_role(self, pid: int, role: abi.Role) -> None:
        self._called("set_role")
        self.roles[pid] = role

    def next_epoch(self) -> None:
        self._called("next_epoch")

    def follow_hotplug(self) -> bool:
        self._called("follow_hotplug")
        return False

    def counters(self) -> Counters:
        no_loss: Mapping[str, int] = {}
        return Counters(
            ticks=self.drained,
            idle=0,
            own=0,
            filtered=0,
            captured=self.drained,
            submitted=self.drained,
            lost=no_loss,
            outcomes=dict.fromkeys(Outcome, 0),
            unknown_process=0,
            notices_lost=0,
            roles_full=0,
        )

    def expected_ticks(self) -> int:
        return self.drained

    def stop(self) -> None:
        self._called("stop")

    def close(self) -> None:
        self._called("close")
        os.close(self._fd)


class KernelSide(ScriptedSampler):
    """Defines stacks as the kernel side does: each once per epoch, in front of its first sample."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._defined: set[StackId] = set()

    def tick(self, time_ns: int, stacks: Iterable[StackDefinition], pid: int = 10, space: SpaceId = 1) -> None:
        """Sample one user stack after the other."""
        for stack in stacks:
            if stack.stack_id not in self._defined:
                self._defined.add(stack.stack_id)
                self.write(stack)
            self.sample((identity(pid, space, user=stack.stack_id), time_ns))

    def next_epoch(self) -> None:
        super().next_epoch()
        self._defined.clear()
