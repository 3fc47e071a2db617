"""Time that the program in the sampling interrupt takes per captured sample."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from otelprof.agent import Agent, AgentConfig, open_agent
from otelprof.model.reader import read_samples
from otelprof.pipeline.window import ClosedWindow
from otelprof.sampler.abi import Role
from otelprof.sampler.core import CoreSampler
from otelprof.sampler.libbpf import load_libbpf
from tests.bench.figures import Figure, Measurement
from tests.gates import require_kernel
from tests.kernel.programs import build, running

__all__ = ("MEASUREMENT", "Reading", "per_sample_us")

_FREQUENCY_HZ = 99
_PROCESSES = 2
_FRAMES = (6, 12, 30, 100)
_CALLERS = 4
"""Frames of ``recurse`` at depth 0: burn, recurse, main and what calls main in glibc."""
_PEER_FRAMES = 6
_PEER_US = 18.9
_BPF_STATS_RUN_TIME = 0
"""linux/bpf.h: enum bpf_stats_type."""
_LONGEST_WARM_UP_S = 20.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Counts of all CPUs: what the kernel measured of the program, and what the program counted itself."""

    run_time_ns: int
    ticks: int
    captured: int

    def since(self, earlier: "Reading") -> "Reading":
        """What happened between two readings."""
        return Reading(
            self.run_time_ns - earlier.run_time_ns, self.ticks - earlier.ticks, self.captured - earlier.captured
        )


def per_sample_us(happened: Reading, other_tick_ns: float) -> float:
    """Time per captured sample, when a tick that captures nothing takes ``other_tick_ns``."""
    return (happened.run_time_ns - (happened.ticks - happened.captured) * other_tick_ns) / happened.captured / 1000


@contextmanager
def _run_time_statistics() -> Iterator[None]:
    """Have the kernel measure BPF programs; unlike with the sysctl it ends with us, whatever happens."""
    fd = load_libbpf().bpf_enable_stats(_BPF_STATS_RUN_TIME)
    if fd < 0:
        raise RuntimeError("the kernel does not measure BPF programs here (BPF_ENABLE_STATS, Linux 5.8)")
    try:
        yield
    finally:
        os.close(fd)


def _read(agent: Agent) -> Reading:
    sampler = cast("CoreSampler", agent.sampler)
    fd = sampler._object.program_fd("on_tick")
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in lines)
    return Reading(int(fields["run_time_ns"]), int(fields["run_cnt"]), sampler.counters().captured)


def _step(agent: Agent, seconds: float) -> Reading:
    """Profile for a while."""
    before = _read(agent)
    ends_ns = time.monotonic_ns() + int(seconds * 1e9)
    while time.monotonic_ns() < ends_ns:
        agent.profiler.step(ends_ns)
    return _read(agent).since(before)


def _warm_up(agent: Agent) -> None:
    """Profile until the processes have been described to the kernel side."""
    ends_at = time.monotonic() + _LONGEST_WARM_UP_S
    unknown = -1
    while time.monotonic() < ends_at:
        _step(agent, 0.5)
        counters = agent.sampler.counters()
        if counters.captured and counters.unknown_process == unknown and not agent.store.pending():
            return
        unknown = counters.unknown_process


def _native_frames(windows: list[ClosedWindow]) -> int:
    """The most frequent number of native frames in a sample."""
    depths: Counter[int] = Counter()
    for window in windows:
        for sample in read_samples(window.batch.payload):
            depths[sum(frame.type == "native" for frame in sample.stack)] += sample.count
    return depths.most_common(1)[0][0]


def _measure_depth(program: Path, depth: int, cache: Path, quick: bool) -> Figure:
    windows: list[ClosedWindow] = []
    config = AgentConfig(frequency_hz=_FREQUENCY_HZ, selected_only=True, cache_dir=cache)
    with ExitStack() as stack:
        busy = [stack.enter_context(running(program, str(depth))) for _ in range(_PROCESSES)]
        agent = stack.enter_context(open_agent(config, windows.append))
        agent.profiler.start()
        nothing_captured = _step(agent, 1)
        for process in busy:
            agent.sampler.set_role(process.pid, Role.SELECTED)
        _warm_up(agent)
        repetitions = [_step(agent, 1 if quick else 2) for _ in range(3 if quick else 10)]
        agent.profiler.finish(1)
    other_tick_ns = nothing_captured.run_time_ns / nothing_captured.ticks
    frames = _native_frames(windows)
    return Figure(
        f"{frames} native frames",
        "µs",
        [per_sample_us(happened, other_tick_ns) for happened in repetitions],
        _PEER_US / 3 if frames == _PEER_FRAMES else None,
        peer=f"{_PEER_US} µs" if frames == _PEER_FRAMES else "",
    )


def _measure(quick: bool) -> Iterator[Figure]:
    require_kernel()
    with TemporaryDirectory() as name, _run_time_statistics():
        folder = Path(name)
        program = build(folder, "recurse")
        for frames in _FRAMES:
            yield _measure_depth(program, frames - _CALLERS, folder / "cache", quick)


MEASUREMENT = Measurement(
    "bpf",
    "time in the program `on_tick` per captured sample, user stack by frame pointers and ring write included, as the"
    " kernel's run-time statistics count it (BPF_ENABLE_STATS), at 99 Hz in two processes that recurse; ticks that"
    " capture nothing are measured beforehand and subtracted. Stacks are known after the first sample.",
    _measure,
)
