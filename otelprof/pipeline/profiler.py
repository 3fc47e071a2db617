"""The road from the sampler to closed windows, in one thread and one loop."""

import select
import time
from collections import Counter, deque
from collections.abc import Callable

from otelprof.artifacts.store import ArtifactStore
from otelprof.model.stack import SampleType
from otelprof.pipeline.binaries import BinaryTable
from otelprof.pipeline.clock import WallClock
from otelprof.pipeline.refresh import RefreshPlan
from otelprof.pipeline.rows import RowResolver
from otelprof.pipeline.stacks import StackTable
from otelprof.pipeline.window import ClosedWindow, OpenWindow
from otelprof.processes.table import Process, ProcessTable
from otelprof.sampler.mapping_rows import MappingRow
from otelprof.sampler.records import BuildIds, Notice, SpaceId, StackDefinition
from otelprof.sampler.sampler import Sampler

__all__ = ("Profiler",)

_DRAIN_NS = 250_000_000
"""Samples wait in their ring for so long; it holds several seconds of them."""
_HOUSEKEEPING_NS = 1_000_000_000
_SWEEP_NS = 5_000_000_000
_PATIENCE_NS = 2_000_000_000
"""How long a window that has ended waits for names that are being read."""
_DESCRIBE_PAUSE_NS = 500_000_000
"""Processes with raw addresses are described again at most so often: more is known of their binaries by then."""


class Profiler:
    """Drains a sampler, learns processes, names stacks and closes windows.

    ``on_window`` gets every closed window that has samples, in order. Call :meth:`step` until it is enough, then
    :meth:`finish`. ``lost`` counts samples that were drained and reached no window, by reason.
    """

    def __init__(
        self,
        sampler: Sampler,
        store: ArtifactStore,
        *,
        processes: ProcessTable,
        binaries: BinaryTable,
        resolver: RowResolver,
        stacks: StackTable,
        sample_type: SampleType,
        window_ns: int,
        on_window: Callable[[ClosedWindow], None],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_clock: WallClock | None = None,
    ) -> None:
        self._sampler = sampler
        self._store = store
        self._processes = processes
        self._binaries = binaries
        self._resolver = resolver
        self._stacks = stacks
        self._sample_type = sample_type
        self._window_ns = window_ns
        self._on_window = on_window
        self._now_ns = monotonic_ns
        self._wall_clock = wall_clock or WallClock(monotonic_ns)
        self._refresh = RefreshPlan(monotonic_ns)
        self._incomplete: set[SpaceId] = set()
        self._described: dict[SpaceId, tuple[MappingRow, ...]] = {}
        self._ended: deque[OpenWindow] = deque()
        self.consumed = 0
        self.accepted = 0
        self.complete = 0
        self.lost: Counter[str] = Counter()
        self.poll = select.epoll()
        self.poll.register(sampler.fileno(), select.EPOLLIN | select.EPOLLET)
        self.poll.register(store.fileno(), select.EPOLLIN)

    def start(self) -> None:
        """Open the first window and start the sampler."""
        now_ns = self._now_ns()
        self._window = self._open_window(0, now_ns)
        self._next_drain_ns = now_ns
        self._next_housekeeping_ns = now_ns + _HOUSEKEEPING_NS
        self._next_sweep_ns = now_ns + _SWEEP_NS
        self._next_describe_ns = now_ns
        self._sampler.start()

    def _open_window(self, sequence: int, start_ns: int) -> OpenWindow:
        self._wall_clock.renew()
        return OpenWindow(sequence, start_ns, start_ns + self._window_ns, self._wall_clock.offset_ns)

    def step(self, until_ns: int) -> frozenset[int]:
        """Wait for the next thing to do, not beyond ``until_ns`` on CLOCK_MONOTONIC, and do it.

        Returns those descriptors registered with ``poll`` by the caller that are ready.
        """
        wait_ns = min(until_ns, self._next_due_ns()) - self._now_ns()
        ready = frozenset(fd for fd, _ in self.poll.poll(max(wait_ns, 0) / 1e9))
        if self._sampler.fileno() in ready:
            self._take_records()
        if self._store.fileno() in ready:
            self._store.poll()
        now_ns = self._now_ns()
        if now_ns >= self._next_drain_ns:
            self._next_drain_ns = now_ns + _DRAIN_NS
            self._drain()
        if self._incomplete and now_ns >= self._next_describe_ns:
            self._next_describe_ns = now_ns + _DESCRIBE_PAUSE_NS
            self._describe_incomplete()
        if now_ns >= self._next_housekeeping_ns:
            self._next_housekeeping_ns = now_ns + _HOUSEKEEPING_NS
            self._housekeeping(now_ns)
        if now_ns >= self._window.end_ns:
            self._end_window(now_ns)
        self._close_ended(now_ns)
        return ready

    def _next_due_ns(self) -> int:
        return min(self._next_drain_ns, self._next_housekeeping_ns, self._window.end_ns)

    def _drain(self) -> None:
        # In this order every stack that a sample names has been defined when both are done.
        self.consumed += self._sampler.drain_samples(self._window.groups)
        self._take_records()

    def _take_records(self) -> None:
        definitions: list[StackDefinition] = []
        for record in self._sampler.drain_records():
            match record:
                case StackDefinition():
                    self._stacks.define(record)
                    definitions.append(record)
                case BuildIds():
                    self._stacks.explain(record)
                case Notice():
                    self._describe(self._processes.learn(record))
        for definition in definitions:
            if definition.space:
                self._incomplete.add(definition.space)
            if self._resolver.prepare(definition).unmapped and self._refresh.is_due(definition.space):
                self._refresh_mappings(definition.space)
        self._stacks.turn_when_full()

    def _refresh_mappings(self, space: SpaceId) -> None:
        before = self._processes.get(space)
        process = self._processes.refresh_mappings(space)
        changed = before is not None and process is not None and before.mappings != process.mappings
        self._refresh.done(space, changed=changed)
        if changed and process is not None:
            self._describe(process)

    def _describe(self, process: Process) -> None:
        """Tell the kernel side what is mapped where, as far as it is known."""
        if process.gone:
            return
        rows = self._binaries.rows(process)
        if self._described.get(process.space) != rows:
            self._sampler.describe(process.pid, process.space, rows)
            self._described[process.space] = rows

    def _describe_incomplete(self) -> None:
        """Describe processes again of which addresses were still raw: more may be known of their binaries."""
        for space in self._incomplete:
            process = self._processes.get(space)
            if process is not None:
                self._describe(process)
        self._incomplete.clear()

    def _housekeeping(self, now_ns: int) -> None:
        self._store.poll()
        self._binaries.release_files()
        self._sampler.follow_hotplug()
        if now_ns >= self._next_sweep_ns:
            self._next_sweep_ns = now_ns + _SWEEP_NS
            for process in self._processes.sweep():
                self._sampler.forget(process.space)
                self._refresh.forget(process.space)
                self._described.pop(process.space, None)

    def _end_window(self, now_ns: int) -> None:
        self._drain()
        self._ended.append(self._window)
        self._window = self._open_window(self._window.sequence + 1, now_ns)

    def _close_ended(self, now_ns: int) -> None:
        """Close windows in order, each when its names are final or its patience is at an end."""
        while self._ended:
            window = self._ended[0]
            patient = now_ns < window.end_ns + _PATIENCE_NS and self._store.pending()
            if patient and not window.is_named(self._resolver):
                return
            self._close(self._ended.popleft())

    def _close(self, window: OpenWindow) -> None:
        if not window.groups:
            return
        closed = window.close(self._resolver, self._sample_type)
        self.accepted += closed.batch.sample_count
        self.complete += closed.complete
        if closed.undefined:
            self.lost["stack_undefined"] += closed.undefined
        if closed.batch.sample_count:
            self._on_window(closed)

    def finish(self, patience_s: float) -> None:
        """Stop sampling, take what is left, wait for names that are being read, and close every window."""
        self._sampler.stop()
        now_ns = self._now_ns()
        self._window.end_ns = max(min(self._window.end_ns, now_ns), self._window.start_ns + 1)
        self._end_window(now_ns)
        deadline_s = time.monotonic() + patience_s
        while not all(window.is_named(self._resolver) for window in self._ended):
            if not self._store.pending() or not self._store_progresses(deadline_s):
                break
        while self._ended:
            self._close(self._ended.popleft())

    def _store_progresses(self, deadline_s: float) -> bool:
        """Wait until an artifact is there; False when the time is up."""
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            return False
        select.select([self._store.fileno()], [], [], min(remaining_s, 0.1))
        self._store.poll()
        self._describe_incomplete()
        return True

    def close(self) -> None:
        """Release the event poll; sampler and store belong to the caller."""
        self.poll.close()
