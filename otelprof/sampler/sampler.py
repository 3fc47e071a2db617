"""The seam between user space and whatever samples: what every sampler offers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from otelprof.sampler.abi import Role
from otelprof.sampler.mapping_rows import MappingRow
from otelprof.sampler.records import Outcome, Record, SpaceId
from otelprof.sampler.ring import SampleGroups

__all__ = ("Counters", "Sampler", "SamplerConfig")


@dataclass(frozen=True, slots=True)
class SamplerConfig:
    """What is fixed while a sampler runs.

    ``selected_only`` samples nothing but processes with :attr:`Role.SELECTED`. ``time_budget_ns``
    bounds the walk of one stack. ``pid_namespace_inode`` is that of our own PID namespace when it is not
    the initial one: process ids are then those seen from inside, and what cannot be seen is filtered.
    """

    frequency_hz: int = 19
    selected_only: bool = False
    time_budget_ns: int = 200_000
    pid_namespace_inode: int = 0
    sample_ring_bytes: int = 0
    """0 = room for four seconds of every CPU's samples."""
    definition_ring_bytes: int = 0
    """0 = room for four seconds in which every second sample has a new stack."""
    seen_stacks: int = 16384


@dataclass(frozen=True, slots=True)
class Counters:
    """Where every tick went: ``ticks = idle + own + filtered + captured``.

    ``captured = submitted + sum(lost)``; ``outcomes`` says how the walks of captured samples ended.
    """

    ticks: int
    idle: int
    own: int
    filtered: int
    captured: int
    submitted: int
    lost: Mapping[str, int]
    outcomes: Mapping[Outcome, int]
    unknown_process: int
    notices_lost: int
    roles_full: int


class Sampler(Protocol):
    """Samples the CPUs of a host and hands over what it saw."""

    def start(self) -> None:
        """Begin to sample every online CPU."""

    def fileno(self) -> int:
        """Descriptor that signals an edge (EPOLLET) when a :class:`Notice` waits in :meth:`drain_records`."""

    def drain_samples(self, groups: SampleGroups) -> int:
        """Add the samples taken so far to ``groups``; returns how many.

        Draining records afterwards yields the definition of every stack named in them.
        """

    def drain_records(self) -> list[Record]:
        """Stack definitions and notices written so far."""

    def describe(self, pid: int, space: SpaceId, rows: Sequence[MappingRow]) -> bool:
        """Tell the kernel side the executable mappings of an address space; False when it has no room."""

    def forget(self, space: SpaceId) -> None:
        """Free what :meth:`describe` took."""

    def set_role(self, pid: int, role: Role) -> None:
        """Say what a process is to us; children inherit it."""

    def next_epoch(self) -> None:
        """From now on every stack is defined once more."""

    def follow_hotplug(self) -> bool:
        """Sample CPUs that came online; True when anything changed."""

    def counters(self) -> Counters:
        """Read the tick accounting."""

    def expected_ticks(self) -> int:
        """Ticks that the clocks should have caused; more than ``ticks`` when the kernel skipped some."""

    def stop(self) -> None:
        """Stop the clocks; what was written can still be drained."""

    def close(self) -> None:
        """Release everything; what was written can no longer be drained."""
