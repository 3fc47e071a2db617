"""How long a recording takes to begin, and what it costs in all."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from otelprof.formats.registry import open_profiles
from otelprof.model.reader import read_samples
from otelprof.pipeline.clock import WallClock
from otelprof.sampler.core import CoreSampler
from otelprof.sampler.sampler import SamplerConfig
from tests.bench.figures import Figure, Measurement
from tests.bench.load import busy_cores
from tests.gates import require_kernel

__all__ = ("MEASUREMENT",)

_OTELPROF = Path(sys.executable).with_name("otelprof")
_IMPORTS = "import otelprof.cli, otelprof.commands.record, otelprof.formats.otlp"
_STEP_NS = 1_000_000
"""A wall clock that was stepped by more between two readings makes a run worthless."""


@dataclass(frozen=True, slots=True)
class _Run:
    first_sample_s: float
    cpu_s: float


def _record(folder: Path, cache: Path) -> _Run | None:
    """Record for a second; None when the wall clock was set meanwhile."""
    output = folder / "x.otlp"
    command = ["record", "-d", "1", "-F", "99", "-o", str(output), "--cache-dir", str(cache)]
    clock = WallClock()
    offset_ns = clock.offset_ns
    begun_ns = time.monotonic_ns() + offset_ns
    with subprocess.Popen([_OTELPROF, *command], stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"`otelprof record` ended with exit code {process.returncode}")
    clock.renew()
    if abs(clock.offset_ns - offset_ns) > _STEP_NS:
        return None
    samples = [sample for message in open_profiles(output) for sample in read_samples(message)]
    first_ns = min(time_ns for sample in samples for time_ns in sample.timestamps_ns)
    return _Run((first_ns - begun_ns) / 1e9, usage.ru_utime + usage.ru_stime)


def _records(folder: Path, caches: list[Path]) -> list[_Run]:
    return [run for cache in caches if (run := _record(folder, cache)) is not None]


def _import_cpu_s() -> float:
    with subprocess.Popen([sys.executable, "-c", _IMPORTS]) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def _load_s() -> tuple[float, float]:
    """Elapsed time and CPU time, the kernel's verifier included."""
    begun, begun_cpu = time.perf_counter(), time.thread_time()
    sampler = CoreSampler(SamplerConfig())
    loaded, loaded_cpu = time.perf_counter(), time.thread_time()
    sampler.close()
    return loaded - begun, loaded_cpu - begun_cpu


def _measure(quick: bool) -> Iterator[Figure]:
    require_kernel()
    with TemporaryDirectory() as name, busy_cores(1):
        folder = Path(name)
        cold = _records(folder, [folder / f"cold-{number}" for number in range(1 if quick else 3)])
        _record(folder, folder / "cold-0")  # what it did not meet the first time
        warm = _records(folder, [folder / "cold-0"] * 5)
    yield Figure("command to first sample, warm cache", "s", [run.first_sample_s for run in warm], 0.5)
    yield Figure("CPU in all, warm cache", "s", [run.cpu_s for run in warm], 1.0, peer="3.3 s")
    yield Figure("command to first sample, empty cache", "s", [run.first_sample_s for run in cold])
    yield Figure("CPU in all, empty cache", "s", [run.cpu_s for run in cold])
    yield Figure("CPU of the interpreter and imports alone", "s", [_import_cpu_s() for _ in range(5)])
    _load_s()  # also loads libbpf
    loads = [_load_s() for _ in range(3 if quick else 10)]
    yield Figure("loading the BPF object alone", "ms", [1000 * elapsed_s for elapsed_s, _ in loads])
    yield Figure("CPU of loading the BPF object alone", "ms", [1000 * cpu_s for _, cpu_s in loads])


MEASUREMENT = Measurement(
    "start",
    "`otelprof record -d 1 -F 99 -o x.otlp` with one core busy: from just before the exec of the command to the time of"
    " the earliest sample in the file; user and system CPU of the command and its children (wait4). An empty cache is"
    " an empty --cache-dir.",
    _measure,
)
