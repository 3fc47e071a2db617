"""Cost of the flame graph page."""

import time
from collections.abc import Iterator
from io import BytesIO

from otelprof.formats.flamegraph import write_page
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.layout import ProfilesData
from tests.bench.figures import Figure, Measurement
from tests.formats.flamegraph_recording import END_NS, START_NS, many_stacks

__all__ = ("MEASUREMENT",)

_STACKS = 50_000
_DEPTH = 30


def _recording() -> ProfilesData:
    builder = ProfilesBuilder(start_ns=START_NS, end_ns=END_NS)
    for sample, count in many_stacks(_STACKS, _DEPTH):
        builder.add(sample.resource, sample.sample_type, sample.stack, values=(count,))
    return builder.build()


def _measure(quick: bool) -> Iterator[Figure]:
    message = _recording()
    seconds = []
    for _ in range(1 if quick else 5):
        stream = BytesIO()
        begun_ns = time.process_time_ns()
        write_page(stream, [message])
        seconds.append((time.process_time_ns() - begun_ns) / 1e9)
    yield Figure("Python", "s", seconds)
    yield Figure("file", "MB", [len(stream.getvalue()) / 1e6])


MEASUREMENT = Measurement(
    "page",
    f"a flame graph page of {_STACKS:,} distinct stacks of {_DEPTH} frames, from the OTLP message to the file: CPU time"
    " of Python and size. A test opens it in Chromium.",
    _measure,
)
