"""A window: samples by identity while it is open, one batch when it is closed."""

import logging
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from otelprof.errors import BadSample
from otelprof.model.stack import CPU_SAMPLES, Resource, SampleType
from otelprof.pipeline.batch import Batch
from otelprof.pipeline.rows import RowResolver
from otelprof.sampler.ring import SampleGroups

if TYPE_CHECKING:
    from otelprof.model.layout import ProfilesData

__all__ = ("ClosedWindow", "OpenWindow", "cpu_samples")

_logger = logging.getLogger(__name__)

_SPACE = slice(8, 16)
"""Of an identity: its address space, behind pid and tid."""


def cpu_samples(frequency_hz: int) -> SampleType:
    """The sample type of a sampling clock."""
    return replace(CPU_SAMPLES, period=1_000_000_000 // frequency_hz)


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """A batch and what became of the samples that were drained into its window.

    ``undefined`` samples named a stack whose frames never came, ``refused`` ones cannot be expressed in OTLP;
    ``complete`` ones reached the root of their stack.
    """

    batch: Batch
    undefined: int
    complete: int
    refused: int = 0


@dataclass(slots=True)
class OpenWindow:
    """Samples of [start, end) on CLOCK_MONOTONIC; ``offset_ns`` turns that into wall time.

    ``lacks_stacks`` says that a sample names a stack whose definition had not come when :meth:`name` looked.
    """

    sequence: int
    start_ns: int
    end_ns: int
    offset_ns: int
    groups: SampleGroups = field(default_factory=dict)
    sample_count: int = 0
    lacks_stacks: bool = False
    _named: int = 0
    _unnamed: list[bytes] = field(default_factory=list)
    _owners: dict[bytes, Resource] = field(default_factory=dict)

    def name(self, resolver: RowResolver, *, again: bool = True) -> bool:
        """Look the new samples up, and ``again`` those that had names to come; tells whether all names are final.

        Call it while the window is open: names are read meanwhile, and processes forgotten.
        """
        waiting: list[bytes] = [] if again else self._unnamed
        self.lacks_stacks &= not again
        for identity in chain(self._unnamed if again else (), islice(self.groups, self._named, None)):
            space = identity[_SPACE]
            row, final = resolver.resolve(identity, self._owners.get(space))
            if row is None:
                self.lacks_stacks = True
            else:
                self._owners[space] = row.resource
            if not final:
                waiting.append(identity)
        self._named = len(self.groups)
        self._unnamed = waiting
        return not waiting

    def close(self, resolver: RowResolver, sample_type: SampleType) -> ClosedWindow:
        """Build the batch with the names that are known by now; it is widened to its first and last sample."""
        # Sampling has begun by now; loading protobuf before would cost the first tenth of a second.
        from otelprof.model.builder import ProfilesBuilder

        offset_ns = self.offset_ns
        builder = ProfilesBuilder(start_ns=self.start_ns + offset_ns, end_ns=self.end_ns + offset_ns)
        accepted = undefined = complete = refused = 0
        for identity, times_ns in self.groups.items():
            row, _ = resolver.resolve(identity, self._owners.get(identity[_SPACE]))
            if row is None:
                undefined += len(times_ns)
                continue
            try:
                builder.add(
                    row.resource,
                    sample_type,
                    row.stack,
                    row.attributes,
                    timestamps_ns=[time_ns + offset_ns for time_ns in times_ns],
                )
            except BadSample as error:
                _logger.warning("samples are left out, for they cannot be expressed: %s", error)
                refused += len(times_ns)
                continue
            accepted += len(times_ns)
            complete += len(times_ns) if row.complete else 0
        message = builder.build()
        start_ns, end_ns = _bounds(message) or (self.start_ns + offset_ns, self.end_ns + offset_ns)
        batch = Batch(self.sequence, start_ns, end_ns, accepted, message.SerializeToString())
        return ClosedWindow(batch, undefined, complete, refused)


def _bounds(message: "ProfilesData") -> tuple[int, int] | None:
    """Start and end of the profiles, the same for all; None where there are none."""
    for resource_profiles in message.resource_profiles:
        profile = resource_profiles.scope_profiles[0].profiles[0]
        return profile.time_unix_nano, profile.time_unix_nano + profile.duration_nano
    return None
