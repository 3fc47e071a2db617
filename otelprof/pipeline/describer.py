"""What processes have mapped, told to the kernel side as far as it is known."""

from collections.abc import Callable

from otelprof.pipeline.binaries import BinaryTable
from otelprof.pipeline.failures import Failures
from otelprof.pipeline.refresh import RefreshPlan
from otelprof.processes.table import Process, ProcessTable
from otelprof.sampler.mapping_rows import MappingRow
from otelprof.sampler.records import Notice, SpaceId
from otelprof.sampler.sampler import Sampler

__all__ = ("Describer",)


class Describer:
    """Learns processes from notices and keeps the kernel side's view of them up to date.

    Where it is behind, addresses cross raw: they are named all the same, at more expense.
    """

    def __init__(
        self,
        sampler: Sampler,
        processes: ProcessTable,
        binaries: BinaryTable,
        failures: Failures,
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._sampler = sampler
        self._processes = processes
        self._binaries = binaries
        self._failures = failures
        self._refresh = RefreshPlan(monotonic_ns)
        self._described: dict[SpaceId, tuple[MappingRow, ...]] = {}
        self._raw: set[SpaceId] = set()

    def heed(self, notice: Notice) -> None:
        """Learn a process and describe it.

        For one that is known the kernel side has forgotten it, or had no room: it is learnt again, but not often.
        """
        space = notice.space
        known = self._processes.get(space)
        if known is not None and not self._refresh.is_due(space):
            return
        with self._failures.outlive("process"):
            process = self._processes.learn(notice)
            if known is not None:
                self._refresh.done(space, changed=known.mappings != process.mappings)
            self._described.pop(space, None)
            self._describe(process)

    def refresh(self, space: SpaceId) -> None:
        """Read the mappings of a process again, in which code ran that is in none; not often, if nothing changes."""
        before = self._processes.get(space)
        if before is None or not self._refresh.is_due(space):
            return
        with self._failures.outlive("process"):
            process = self._processes.refresh_mappings(space) or before
            changed = before.mappings != process.mappings
            self._refresh.done(space, changed=changed)
            if changed:
                self._describe(process)

    def note_raw(self, space: SpaceId) -> None:
        """Note that addresses of a process crossed raw."""
        self._raw.add(space)

    def describe_raw(self) -> None:
        """Describe processes again of which addresses were raw: more may be known of their binaries."""
        for space in self._raw:
            process = self._processes.get(space)
            if process is not None:
                with self._failures.outlive("process"):
                    self._describe(process)
        self._raw.clear()

    def sweep(self) -> None:
        """Let go of processes that have ended."""
        for process in self._processes.sweep():
            self._sampler.forget(process.space)
            self._binaries.forget(process.space)
            self._refresh.forget(process.space)
            self._described.pop(process.space, None)

    def _describe(self, process: Process) -> None:
        if process.gone:
            return
        rows = self._binaries.rows(process)
        if self._described.get(process.space) == rows:
            return
        if self._sampler.describe(process.pid, process.space, rows):
            self._described[process.space] = rows
        else:
            self._failures.counts["no_room_for_mappings"] += 1
