"""When the mappings of a process are worth reading again."""

from collections.abc import Callable
from dataclasses import dataclass

from otelprof.sampler.records import SpaceId

__all__ = ("RefreshPlan",)

_FIRST_PAUSE_NS = 250_000_000
_LAST_PAUSE_NS = 60_000_000_000


@dataclass(slots=True)
class _Plan:
    pause_ns: int
    next_ns: int


class RefreshPlan:
    """Spaces out readings of /proc/<pid>/maps: at once after a change, ever more rarely while nothing changes.

    A process may run code where it maps none (a JIT writes and unmaps), and maps of some have millions of lines.
    """

    def __init__(self, monotonic_ns: Callable[[], int]) -> None:
        self._now_ns = monotonic_ns
        self._plans: dict[SpaceId, _Plan] = {}

    def is_due(self, space: SpaceId) -> bool:
        """Whether another reading is allowed by now."""
        plan = self._plans.get(space)
        return plan is None or self._now_ns() >= plan.next_ns

    def done(self, space: SpaceId, *, changed: bool) -> None:
        """Note a reading and whether it brought anything new."""
        plan = self._plans.get(space)
        pause_ns = _FIRST_PAUSE_NS if changed or plan is None else min(plan.pause_ns * 2, _LAST_PAUSE_NS)
        self._plans[space] = _Plan(pause_ns, self._now_ns() + pause_ns)

    def forget(self, space: SpaceId) -> None:
        """The process has ended."""
        self._plans.pop(space, None)
