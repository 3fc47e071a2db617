"""Batches for the exporters' tests."""

from dataclasses import replace

from otelprof.model.builder import ProfilesBuilder
from otelprof.model.stack import CPU_SAMPLES, Frame, Function, Line, Mapping, Resource
from otelprof.pipeline.batch import Batch

__all__ = ("batch",)

_START_NS = 1_700_000_000_000_000_000
_SECOND_NS = 1_000_000_000


def batch(
    *, sequence: int = 0, processes: int = 1, samples: int = 3, name_bytes: int = 0, payload: bytes | None = None
) -> Batch:
    """Make a window of ``processes`` x ``samples`` samples with distinct stacks, or with a given payload.

    Names of functions are filled up to ``name_bytes``.
    """
    builder = ProfilesBuilder(start_ns=_START_NS, end_ns=_START_NS + 5 * _SECOND_NS)
    cpu = replace(CPU_SAMPLES, period=52_631_578)
    mapping = Mapping("/usr/bin/app", 0x1000, 0x2000_0000, build_id_gnu="ab" * 20, build_id_htlhash="cd" * 16)
    for pid in range(1, processes + 1):
        resource = Resource((("service.name", f"service {pid}"), ("process.pid", pid)))
        for number in range(samples):
            function = Function(f"function_{pid}_{number}_".ljust(name_bytes, "x"))
            stack = (Frame("native", 0x1000 + number, mapping, (Line(function),)),)
            builder.add(resource, cpu, stack, (("thread.id", pid),), timestamps_ns=[_START_NS + number])
    message = builder.build().SerializeToString() if payload is None else payload
    return Batch(sequence, _START_NS, _START_NS + 5 * _SECOND_NS, processes * samples, message)
