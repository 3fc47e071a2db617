"""What user space spends on a sample, from the ring to the bytes that are sent."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from otelprof.pipeline.binaries import BinaryTable
from otelprof.pipeline.frames import FrameNamer
from otelprof.pipeline.rows import RowResolver
from otelprof.pipeline.stacks import StackTable
from otelprof.pipeline.window import OpenWindow, cpu_samples
from otelprof.processes.host import Host
from otelprof.processes.table import ProcessTable
from otelprof.sampler.core import parse_record
from otelprof.sampler.records import StackDefinition
from otelprof.sampler.ring import Ring, SampleRing
from otelprof.symbols.kernel import KernelSymbols
from otelprof.symbols.symbolizer import Symbolizer
from tests.bench.figures import Figure, Measurement
from tests.bench.recorded import PROCESSES, MadeBinaries, MadeKernel, MadeSymbols, Recording, ring_of, space_of
from tests.processes.trees import HostTree

__all__ = ("MEASUREMENT",)

_SAMPLES = 100_000
_IDENTITIES = 1_000
_WINDOWS = 20
_CGROUP = "0::/kubepods.slice/kubepods-pod{pid:08x}_0000_4000_8000_000000000000.slice/cri-containerd-{pid:064x}.scope\n"
_SAMPLE_TYPE = cpu_samples(19)


def _process_table(root: Path) -> ProcessTable:
    """Processes of containers, each with a usual set of resource attributes."""
    tree = HostTree(root)
    tree.boot()
    host = Host("web-7.example.com", "5d41402abc4b2a76b9719d911017c592", "amd64", "linux", "12")
    table = ProcessTable(tree.roots, host)
    for pid in PROCESSES:
        environ = {"OTEL_SERVICE_NAME": f"shop-{pid % 12}", "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.2.3"}
        tree.process(pid, b"worker", executable="/usr/bin/worker", environ=environ, cgroup=_CGROUP.format(pid=pid))
        table.learn(tree.notice(pid, space_of(pid)))
    return table


class _Road:
    """User space from the rings on, without a kernel: everything real but what names frames."""

    def __init__(self, processes: ProcessTable) -> None:
        self._stacks = StackTable(lambda: None)
        namer = FrameNamer(
            processes,
            cast("BinaryTable", MadeBinaries()),
            cast("Symbolizer", MadeSymbols()),
            cast("KernelSymbols", MadeKernel()),
        )
        self._resolver = RowResolver(self._stacks, processes, namer)

    def define(self, definitions: Ring) -> None:
        """Take stack definitions as the profiler does."""
        found = [parse_record(record) for record in definitions.records()]
        for definition in found:
            assert isinstance(definition, StackDefinition)
            self._stacks.define(definition)
            self._resolver.prepare(definition)

    def run(self, samples: SampleRing, count: int) -> "_Costs":
        """Drain one window, close it, and check that nothing is missing."""
        window = OpenWindow(0, 10**12, 10**12 + 5 * 10**9, 0)
        times = [time.thread_time_ns()]
        samples.drain(window.groups)
        times.append(time.thread_time_ns())
        closed = window.close(self._resolver, _SAMPLE_TYPE)
        times.append(time.thread_time_ns())
        message = closed.batch.message()
        again = time.thread_time_ns()
        message.SerializeToString()
        serialise_ns = time.thread_time_ns() - again
        assert closed.batch.sample_count == count
        assert not closed.undefined
        return _Costs(times[1] - times[0], times[2] - times[1] - serialise_ns, serialise_ns)


@dataclass(frozen=True, slots=True)
class _Costs:
    """CPU time of one thread; ``encode_ns`` includes resolving identities."""

    drain_ns: int
    encode_ns: int
    serialise_ns: int
    define_ns: int = 0

    @property
    def all_ns(self) -> int:
        return self.define_ns + self.drain_ns + self.encode_ns + self.serialise_ns

    def __add__(self, other: "_Costs") -> "_Costs":
        return _Costs(
            self.drain_ns + other.drain_ns,
            self.encode_ns + other.encode_ns,
            self.serialise_ns + other.serialise_ns,
            self.define_ns + other.define_ns,
        )


def _define(road: _Road, recording: Recording) -> _Costs:
    fd, size_bytes = ring_of(recording.definitions)
    with closing(Ring(fd, size_bytes)) as ring:
        begun_ns = time.thread_time_ns()
        road.define(ring)
        costs = _Costs(0, 0, 0, time.thread_time_ns() - begun_ns)
    os.close(fd)
    return costs


def _drain_and_close(road: _Road, samples: tuple[bytes, ...]) -> _Costs:
    fd, size_bytes = ring_of(samples)
    with closing(SampleRing(fd, size_bytes)) as ring:
        costs = road.run(ring, len(samples))
    os.close(fd)
    return costs


def _measure(quick: bool) -> Iterator[Figure]:
    recording = Recording.make(_IDENTITIES, _SAMPLES)
    size = _SAMPLES // _WINDOWS
    parts = [recording.samples[start : start + size] for start in range(0, _SAMPLES, size)]
    first, next_, split = [], [], []
    with TemporaryDirectory() as name:
        processes = _process_table(Path(name))
        for _ in range(3 if quick else 9):
            road = _Road(processes)
            first.append(_define(road, recording) + _drain_and_close(road, recording.samples))
            next_.append(_drain_and_close(road, recording.samples))
            split.append(sum((_drain_and_close(road, part) for part in parts), _Costs(0, 0, 0)))
    yield _figure("all in, all stacks new, one window", [costs.all_ns for costs in first], 2.0)
    yield _figure("of it reading and naming stack definitions", [costs.define_ns for costs in first])
    yield _figure("of it draining the ring", [costs.drain_ns for costs in first])
    yield _figure("of it resolving and encoding", [costs.encode_ns for costs in first])
    yield _figure("of it serialising", [costs.serialise_ns for costs in first])
    yield _figure("all in, all stacks known, one window", [costs.all_ns for costs in next_])
    yield _figure(f"all in, all stacks known, {_WINDOWS} windows", [costs.all_ns for costs in split])


def _figure(name: str, nanoseconds: list[int], at_most: float | None = None) -> Figure:
    return Figure(name, "µs", [value / _SAMPLES / 1000 for value in nanoseconds], at_most)


MEASUREMENT = Measurement(
    "sample",
    f"CPU time of user space per sample: {_SAMPLES:,} samples of {_IDENTITIES:,} identities (40 processes, 400 user and"
    " 400 kernel stacks of 8-39 and 4-11 frames) and their definitions, from the rings through drain, window and close"
    " to the serialised request. Symbol look-up is left out: names are made up.",
    _measure,
)
