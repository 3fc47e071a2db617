"""How far a batch has come."""

from collections import deque

from otelprof.errors import BadProfile
from otelprof.model.split import Part, split
from otelprof.pipeline.batch import Batch
from otelprof.pipeline.exporter import ExportResult
from otelprof_otlp.status import OtlpExportError

__all__ = ("Delivery",)


class Delivery:
    """The requests of a batch that are still to be sent, and what became of the samples in the others."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.parts = deque([Part(batch.payload, batch.sample_count)])
        self._exported = 0
        self._dropped = 0
        self._drop_reason = ""
        self._refusal: OtlpExportError | None = None

    def accepted(self) -> None:
        """Note that the receiver has the next part."""
        self._exported += self.parts.popleft().sample_count

    def drop(self, reason: str, refusal: OtlpExportError | None = None) -> None:
        """Give the next part up; the first reason is the one reported."""
        self._dropped += self.parts.popleft().sample_count
        self._drop_reason = self._drop_reason or reason
        self._refusal = self._refusal or refusal

    def cut(self, max_bytes: int) -> bool:
        """Replace the next part by smaller ones; False when it cannot be cut."""
        try:
            pieces = split(self.parts[0].payload, max_bytes)
        except BadProfile:
            return False
        if len(pieces) == 1:
            return False
        self.parts.popleft()
        self.parts.extendleft(reversed(pieces))
        return True

    def result(self) -> ExportResult:
        """Sum up; raises the first refusal when nothing was accepted."""
        if self._refusal and not self._exported:
            raise self._refusal
        return ExportResult(self._exported, self._dropped, self._drop_reason)
