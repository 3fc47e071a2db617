"""What ``otelprof run`` costs while it sends to a Collector."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Figure, Measurement
from tests.bench.load import busy_cores
from tests.bench.processes import Memory, cpu_time_ns, memory_of
from tests.e2e.collector_process import CONFIG, Collector, running_collector
from tests.gates import require_collector, require_kernel

__all__ = ("MEASUREMENT",)

_OTELPROF = Path(sys.executable).with_name("otelprof")
_WINDOW_S = 5
_CORES = 2
_READINGS = 5
_MEBI = 1 << 20


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    frequency_hz: int
    busy_cores: int
    at_most_percent: float | None
    peer: str


_CASES = (
    _Case("idle", 19, 0, None, "0.55 %"),
    _Case("two busy cores, 19 Hz", 19, _CORES, 0.275, "0.55 %"),
    _Case("two busy cores, 99 Hz", 99, _CORES, 0.5, "1.0 %"),
)
"""Half of the peer's figure is the target; its were taken at 20 and 99 Hz."""


@dataclass(frozen=True, slots=True)
class _Times:
    warm_up_windows: int
    slices: int
    quiet_s: float
    longest_wait_s: float


_FULL = _Times(warm_up_windows=3, slices=6, quiet_s=60, longest_wait_s=240)
_QUICK = _Times(warm_up_windows=2, slices=2, quiet_s=15, longest_wait_s=30)


@contextmanager
def _running_agent(folder: Path, case: _Case, collector: Collector) -> Iterator[int]:
    with (folder / "otelprof.log").open("w") as log:
        process = subprocess.Popen(
            [_OTELPROF, "run", "--exporter", "otlp", "-F", str(case.frequency_hz), "--cache-dir", folder / "cache"],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.grpc_endpoint}"},
            stderr=log,
        )
    try:
        yield process.pid
        process.send_signal(signal.SIGTERM)
        if process.wait(30):
            raise RuntimeError(f"`otelprof run` ended with exit code {process.returncode}")
    finally:
        process.kill()
        process.wait()


def _cpu_percents(pid: int, slices: int) -> list[float]:
    """CPU in each of some slices of one window's length: each has one window closed and sent."""
    percents = []
    at, used = time.monotonic_ns(), cpu_time_ns(pid)
    for _ in range(slices):
        time.sleep(_WINDOW_S)
        now, used_now = time.monotonic_ns(), cpu_time_ns(pid)
        percents.append(100 * (used_now - used) / (now - at))
        at, used = now, used_now
    return percents


def _wait_for_quiet(cache: Path, times: _Times) -> float:
    """Wait until no new binary was seen for a while, and return for how long; each one leaves a file in the cache."""
    ends_at = time.monotonic() + times.longest_wait_s
    changed_at, files = time.monotonic(), frozenset[Path]()
    while time.monotonic() < min(changed_at + times.quiet_s, ends_at):
        found = frozenset(cache.rglob("*"))
        if found != files:
            changed_at, files = time.monotonic(), found
        time.sleep(1)
    return time.monotonic() - changed_at


def _memory(pid: int) -> list[Memory]:
    readings = []
    for _ in range(_READINGS):
        readings.append(memory_of(pid))
        time.sleep(1)
    return readings


def _measure_case(case: _Case, times: _Times) -> Iterator[Figure]:
    with TemporaryDirectory() as name, busy_cores(case.busy_cores):
        folder = Path(name)
        with (
            running_collector(folder / "collector", config=CONFIG) as collector,
            _running_agent(folder, case, collector) as pid,
        ):
            collector.wait_for_requests(times.warm_up_windows, timeout_s=times.warm_up_windows * 4 * _WINDOW_S)
            percents = _cpu_percents(pid, times.slices)
            yield Figure(
                f"CPU, {case.name}", "% of a core", percents, case.at_most_percent, peer=case.peer, is_mean=True
            )
            if not case.busy_cores:
                return
            quiet_s = _wait_for_quiet(folder / "cache", times)
            readings = _memory(pid)
    shortfall = "" if quiet_s >= times.quiet_s else f" (only {quiet_s:.0f} s after the last new binary)"
    totals = [(reading.pss_bytes + reading.bpf_maps_bytes) / _MEBI for reading in readings]
    yield Figure(f"memory, {case.name}{shortfall}", "MiB", totals, 80, peer="98-118 MB")
    maps = [reading.bpf_maps_bytes / _MEBI for reading in readings]
    yield Figure(f"of it BPF maps, {case.name}", "MiB", maps, 15, peer="49-54 MB")


def _measure(quick: bool) -> Iterator[Figure]:
    require_kernel()
    require_collector()
    for case in _CASES:
        yield from _measure_case(case, _QUICK if quick else _FULL)


MEASUREMENT = Measurement(
    "agent",
    "`otelprof run --exporter otlp` with windows of 5 s to a real Collector over loopback: user and system CPU of all"
    " its processes after a warm-up of three windows, in slices of 5 s (the value is their mean); PSS of all its"
    " processes without mappings of BPF maps, plus memlock of its maps, 60 s after the last new binary. Its artifact"
    " cache was empty at start.",
    _measure,
)
