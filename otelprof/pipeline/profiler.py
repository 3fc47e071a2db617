"""The road from the sampler to closed windows, in one thread and one loop."""

import select
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from otelprof.artifacts.store import ArtifactStore
from otelprof.model.stack import SampleType
from otelprof.pipeline.binaries import BinaryTable
from otelprof.pipeline.clock import WallClock
from otelprof.pipeline.describer import Describer
from otelprof.pipeline.failures import Failures
from otelprof.pipeline.rows import RowResolver
from otelprof.pipeline.stacks import StackTable
from otelprof.pipeline.window import ClosedWindow, OpenWindow
from otelprof.processes.table import ProcessTable
from otelprof.sampler.records import BuildIds, Notice, Record, StackDefinition
from otelprof.sampler.sampler import Sampler

__all__ = ("Profiler", "drain_interval_ns")

_DRAIN_SAMPLES = 500
_DRAIN_BOUNDS_NS = (100_000_000, 1_000_000_000)
"""Samples wait in their ring until there are some 500, for a second at the most: it holds several seconds of them."""
_HOUSEKEEPING_NS = 1_000_000_000
_SWEEP_NS = 5_000_000_000
_PATIENCE_NS = 2_000_000_000
"""How long a window that has ended waits for names that are being read."""
_NAMING_PAUSE_NS = 100_000_000
"""While it waits: files are read in bursts, and looking for new names costs something."""
_DESCRIBE_PAUSE_NS = 500_000_000
"""Processes with raw addresses are described again at most so often: more is known of their binaries by then."""
_MAX_WINDOW_SAMPLES = 1 << 17
"""A window ends early when it has so many, of some 500 bytes each at worst."""


def drain_interval_ns(frequency_hz: int, cpus: int) -> int:
    """How long samples may wait when so many CPUs are sampled so often: each time costs, whatever it brings."""
    shortest_ns, longest_ns = _DRAIN_BOUNDS_NS
    return min(max(_DRAIN_SAMPLES * 1_000_000_000 // (frequency_hz * max(cpus, 1)), shortest_ns), longest_ns)


class Profiler:
    """Drains a sampler, learns processes, names stacks and closes windows.

    ``on_window`` gets every closed window that has samples, in order. Call :meth:`step` until it is enough, then
    :meth:`finish`. ``lost`` counts samples that were drained and reached no window, by reason. What fails in a
    way that is expected on a host is counted in ``failures``, and the rest goes on.
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
        drain_ns: int,
        on_window: Callable[[ClosedWindow], None],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_clock: WallClock | None = None,
    ) -> None:
        self._sampler = sampler
        self._store = store
        self._binaries = binaries
        self._resolver = resolver
        self._stacks = stacks
        self._sample_type = sample_type
        self._window_ns = window_ns
        self._drain_ns = drain_ns
        self._on_window = on_window
        self._now_ns = monotonic_ns
        self._wall_clock = wall_clock or WallClock(monotonic_ns)
        self._ended: deque[OpenWindow] = deque()
        self._has_news = False
        self._turned_in = -1
        self.consumed = 0
        self.accepted = 0
        self.complete = 0
        self.lost: Counter[str] = Counter()
        self.failures = Failures()
        self._describer = Describer(sampler, processes, binaries, self.failures, monotonic_ns)
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
        self._next_naming_ns = now_ns
        self._sampler.start()

    def _open_window(self, sequence: int, start_ns: int) -> OpenWindow:
        self._wall_clock.renew()
        return OpenWindow(sequence, start_ns, start_ns + self._window_ns, self._wall_clock.offset_ns)

    def step(self, until_ns: int) -> frozenset[int]:
        """Wait for the next thing to do, not beyond ``until_ns`` on CLOCK_MONOTONIC, and do it.

        Returns those descriptors registered with ``poll`` by the caller that are ready.
        """
        wait_ns = min(until_ns, self._next_due_ns()) - self._now_ns()
        ready = {fd for fd, _ in self.poll.poll(max(wait_ns, 0) / 1e9)}
        if self._sampler.fileno() in ready:
            self._take_records()
        if self._store.fileno() in ready:
            self._poll_store()
        now_ns = self._now_ns()
        if now_ns >= self._next_drain_ns:
            self._next_drain_ns = _next(now_ns, self._drain_ns)
            self._drain()
        if now_ns >= self._next_describe_ns:
            self._next_describe_ns = now_ns + _DESCRIBE_PAUSE_NS
            self._describer.describe_raw()
        if now_ns >= self._next_housekeeping_ns:
            self._next_housekeeping_ns = _next(now_ns, _HOUSEKEEPING_NS)
            self._housekeeping(now_ns)
        if self._must_end(now_ns):
            self._end_window()
        self._close_ended(now_ns)
        self._turn_epoch()
        return frozenset(ready - {self._sampler.fileno(), self._store.fileno()})

    def _next_due_ns(self) -> int:
        due_ns = min(self._next_drain_ns, self._next_housekeeping_ns, self._window.end_ns)
        return min(due_ns, self._next_naming_ns) if self._ended else due_ns

    def _poll_store(self) -> None:
        before = self._store.pending()
        with self.failures.outlive("artifacts"):
            self._store.poll()
        self._has_news |= self._store.pending() != before

    def _drain(self) -> None:
        # In this order every stack that a sample names has been defined when both are done.
        window = self._window
        count = None
        with self.failures.outlive("samples"):
            count = self._sampler.drain_samples(window.groups)
        if count is None:  # what came before the failure is there
            count = sum(map(len, window.groups.values())) - window.sample_count
        window.sample_count += count
        self.consumed += count
        self._take_records()

    def _take_records(self) -> None:
        records: Sequence[Record] = ()
        with self.failures.outlive("records"):
            records = self._sampler.drain_records()
        definitions: list[StackDefinition] = []
        for record in records:
            match record:
                case StackDefinition():
                    self._stacks.define(record)
                    definitions.append(record)
                case BuildIds():
                    self._stacks.explain(record)
                case Notice():
                    self._describer.heed(record)
        for definition in definitions:
            if definition.space:
                self._describer.note_raw(definition.space)
            if self._resolver.prepare(definition).unmapped:
                self._describer.refresh(definition.space)

    def _housekeeping(self, now_ns: int) -> None:
        self._poll_store()
        self._binaries.release_files()
        with self.failures.outlive("cpus"):
            self._sampler.follow_hotplug()
        if now_ns >= self._next_sweep_ns:
            self._next_sweep_ns = now_ns + _SWEEP_NS
            with self.failures.outlive("sweep"):
                self._describer.sweep()
        # Names are read, and owners noted, while the window is open.
        self._window.name(self._resolver, again=self._has_news)
        self._has_news = False

    def _must_end(self, now_ns: int) -> bool:
        """Whether the open window is over, or holds so much that it is better closed early."""
        window = self._window
        is_large = window.sample_count >= _MAX_WINDOW_SAMPLES
        return now_ns >= window.end_ns or is_large or (self._stacks.is_full and self._turned_in == window.sequence)

    def _end_window(self) -> None:
        """Begin the next window where the open one ends, behind all that was drained."""
        self._drain()
        window = self._window
        window.end_ns = max(self._now_ns(), window.start_ns + 1)
        self._ended.append(window)
        self._window = self._open_window(window.sequence + 1, window.end_ns)

    def _close_ended(self, now_ns: int) -> None:
        """Close windows in order, each when its names are final or its patience is at an end."""
        while self._ended:
            window = self._ended[0]
            if now_ns < window.end_ns + _PATIENCE_NS and not self._is_ready(window, now_ns):
                return
            self._close(self._ended.popleft())

    def _is_ready(self, window: OpenWindow, now_ns: int) -> bool:
        """Whether waiting brings no more names, or stacks that were being written when it ended."""
        if now_ns < self._next_naming_ns:
            return False
        # In this order: looking for names is what has them read.
        if window.name(self._resolver) or not (self._store.pending() or window.lacks_stacks):
            return True
        self._next_naming_ns = now_ns + _NAMING_PAUSE_NS
        return False

    def _turn_epoch(self) -> None:
        """Have stacks defined anew when there are many, and every window is closed that saw the last time.

        Samples that were on their way then have come into that window, so that no open one needs older definitions.
        """
        oldest = self._ended[0] if self._ended else self._window
        if self._stacks.is_full and oldest.sequence > self._turned_in:
            self._stacks.turn()
            self._turned_in = self._window.sequence

    def _close(self, window: OpenWindow) -> None:
        if not window.groups:
            return
        closed = window.close(self._resolver, self._sample_type)
        self.accepted += closed.batch.sample_count
        self.complete += closed.complete
        self.lost += Counter(stack_undefined=closed.undefined, inexpressible=closed.refused)
        if closed.batch.sample_count:
            self._on_window(closed)

    def finish(self, patience_s: float) -> None:
        """Stop sampling, take what is left, wait for names that are being read, and close every window."""
        with self.failures.outlive("sampler"):
            self._sampler.stop()
        self._end_window()
        deadline_s = time.monotonic() + patience_s
        while not all([window.name(self._resolver) for window in self._ended]):  # noqa: C419 - each is worked on
            now_s = time.monotonic()
            if not self._store.pending() or now_s >= deadline_s:
                break
            self._store.wait(min(now_s + _NAMING_PAUSE_NS / 1e9, deadline_s))
        while self._ended:
            self._close(self._ended.popleft())

    def close(self) -> None:
        """Release the event poll; sampler and store belong to the caller."""
        self.poll.close()


def _next(now_ns: int, interval_ns: int) -> int:
    """The next multiple of an interval: what is done every second is done in one go."""
    return now_ns - now_ns % interval_ns + interval_ns
