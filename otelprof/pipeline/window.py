"""A window: samples by identity while it is open, one batch when it is closed."""

from dataclasses import dataclass, field, replace

from otelprof.model.builder import ProfilesBuilder
from otelprof.model.stack import CPU_SAMPLES, SampleType
from otelprof.pipeline.batch import Batch
from otelprof.pipeline.rows import RowResolver
from otelprof.sampler.ring import SampleGroups

__all__ = ("ClosedWindow", "OpenWindow", "cpu_samples")


def cpu_samples(frequency_hz: int) -> SampleType:
    """The sample type of a sampling clock."""
    return replace(CPU_SAMPLES, period=1_000_000_000 // frequency_hz)


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """A batch and what became of the samples that were drained into its window.

    ``undefined`` samples named a stack whose frames never came; ``complete`` ones reached the root of their stack.
    """

    batch: Batch
    undefined: int
    complete: int


@dataclass(slots=True)
class OpenWindow:
    """Samples of [start, end) on CLOCK_MONOTONIC; ``offset_ns`` turns that into wall time."""

    sequence: int
    start_ns: int
    end_ns: int
    offset_ns: int
    groups: SampleGroups = field(default_factory=dict)

    def is_named(self, resolver: RowResolver) -> bool:
        """Whether every name in it is final."""
        return all([resolver.resolve(identity)[1] for identity in self.groups])  # noqa: C419 - each is worked on

    def close(self, resolver: RowResolver, sample_type: SampleType) -> ClosedWindow:
        """Build the batch with the names that are known by now."""
        offset_ns = self.offset_ns
        builder = ProfilesBuilder(start_ns=self.start_ns + offset_ns, end_ns=self.end_ns + offset_ns)
        accepted = undefined = complete = 0
        for identity, times_ns in self.groups.items():
            row, _ = resolver.resolve(identity)
            if row is None:
                undefined += len(times_ns)
                continue
            builder.add(
                row.resource,
                sample_type,
                row.stack,
                row.attributes,
                timestamps_ns=[time_ns + offset_ns for time_ns in times_ns],
            )
            accepted += len(times_ns)
            complete += len(times_ns) if row.complete else 0
        batch = Batch(
            sequence=self.sequence,
            start_ns=self.start_ns + offset_ns,
            end_ns=self.end_ns + offset_ns,
            sample_count=accepted,
            payload=builder.build().SerializeToString(),
        )
        return ClosedWindow(batch, undefined, complete)
