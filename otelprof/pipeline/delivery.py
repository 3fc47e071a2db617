"""One exporter in a thread of its own: what it does never holds the sampler up."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from otelprof.errors import ExportError
from otelprof.pipeline.batch import Batch
from otelprof.pipeline.exporter import Exporter

__all__ = ("Delivery", "DeliveryCounts")

_MAX_WAITING_BYTES = 32 << 20
"""Batches that wait while an exporter is slow; beyond it the oldest is dropped."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """Samples by what became of them; ``dropped`` by reason. Their sum are all samples that were put."""

    exported: int
    dropped: Mapping[str, int]
    pending: int


class Delivery:
    """Hands batches to an exporter in order, and counts what became of their samples."""

    def __init__(self, name: str, exporter: Exporter, *, max_waiting_bytes: int = _MAX_WAITING_BYTES) -> None:
        """``name`` is what messages call the exporter."""
        self.name = name
        self.exported = 0
        self.dropped: Counter[str] = Counter()
        self.pending = 0
        self._exporter = exporter
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: deque[Batch] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._ending = False
        self._failing = False
        # Of its own, so that a message about one exporter is no repetition of that about another.
        self._logger = _logger.getChild(name)
        self._thread = threading.Thread(target=self._run, name=f"exporter-{name}", daemon=True)
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """Queue a batch; the oldest one that waits is dropped when there is no room."""
        is_too_slow = False
        with self._changed:
            self._waiting.append(batch)
            self._waiting_bytes += len(batch.payload)
            self.pending += batch.sample_count
            while self._waiting_bytes > self._max_waiting_bytes and len(self._waiting) > 1:
                oldest = self._waiting.popleft()
                self._waiting_bytes -= len(oldest.payload)
                self._settle(oldest, 0, "queue_full")
                is_too_slow = True
            self._changed.notify_all()
        if is_too_slow:
            self._logger.warning("exporter %s is too slow, the oldest profiles are dropped", self.name)

    def counts(self) -> DeliveryCounts:
        """What became of the samples, all at one moment."""
        with self._changed:
            return DeliveryCounts(self.exported, dict(self.dropped), self.pending)

    def finish(self, timeout_s: float) -> bool:
        """Deliver what waits, for as long as is given; tells whether all of it was settled and the exporter closed."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(max(deadline_s - time.monotonic(), 0))
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            exported, reason = self._export(batch)
            with self._changed:
                self._settle(batch, exported, reason)
        try:
            self._exporter.close()
        except Exception as error:
            self._logger.warning("exporter %s cannot be closed: %s", self.name, error)

    def _next(self) -> Batch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending)
            if not self._waiting:
                return None
            batch = self._waiting.popleft()
            self._waiting_bytes -= len(batch.payload)
            return batch

    def _export(self, batch: Batch) -> tuple[int, str]:
        """Samples that were delivered, and what became of the others."""
        try:
            result = self._exporter.export(batch)
            if not 0 <= result.exported <= batch.sample_count:
                raise ValueError(f"{result.exported} samples delivered of {batch.sample_count}")
            outcome = result.exported, result.drop_reason or "rejected"
        except ExportError as error:
            self._warn(str(error))
            return 0, "export_failed"
        except BaseException as error:  # somebody else's code, which must not end ours
            self._logger.debug("the exporter raised", exc_info=error)
            self._warn(f"it raised {type(error).__name__}: {error}")
            return 0, "exporter_error"
        if self._failing:
            self._failing = False
            self._logger.warning("exporter %s delivers again", self.name)
        return outcome

    def _warn(self, reason: str) -> None:
        """Once per outage."""
        if not self._failing:
            self._failing = True
            self._logger.warning("exporter %s cannot deliver, profiles are dropped until it can: %s", self.name, reason)

    def _settle(self, batch: Batch, exported: int, reason: str) -> None:
        self.pending -= batch.sample_count
        self.exported += exported
        if exported < batch.sample_count:
            self.dropped[reason] += batch.sample_count - exported
