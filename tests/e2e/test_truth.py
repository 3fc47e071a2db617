"""Minutes of sampling against what is known of the work that was sampled."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from otelprof.model.reader import ReadSample, read_samples
from tests.e2e.collector_process import running_collector
from tests.gates import require_kernel
from tests.kernel.programs import build, running
from tests.kernel.recording import OTELPROF, names, record, sample_count, samples_of

pytestmark = [pytest.mark.kernel, pytest.mark.real]

BRANCHES = ("takes_half", "takes_thirty", "takes_fifteen", "takes_five")
PART_NS = 5_000_000_000

CHI_SQUARE_0_1_PERCENT = {33: 63.87, 36: 67.99, 39: 72.05}
"""Quantiles at 0.999 of the chi-square distribution by degrees of freedom, three a part."""


@pytest.fixture(autouse=True, scope="module")
def _kernel() -> None:
    require_kernel()


def branch_of(sample: ReadSample) -> str | None:
    """The branch that a sample was taken in."""
    return next((name for name in names(sample) if name in BRANCHES), None)


def chi_square(parts: list[Counter[str]], shares: dict[str, float]) -> float:
    """Sum over parts and branches of (observed - expected)^2 / expected."""
    return sum(
        (part[name] - part.total() * share) ** 2 / (part.total() * share)
        for part in parts
        for name, share in shares.items()
    )


@pytest.mark.collector
def test_shares_are_those_of_the_program_and_every_file_has_every_sample(tmp_path: Path) -> None:
    program = build(tmp_path, "known_truth")
    leaf = subprocess.run(["objdump", "-d", "--disassemble=leaf", program], check=True, capture_output=True, text=True)
    assert re.search(r"<leaf>:\n.*push +%rbp", leaf.stdout), "the leaf has a frame of its own"
    files = [tmp_path / f"x{suffix}" for suffix in (".otlp", ".otlp.jsonl", ".folded", ".pb.gz")]

    result = record("-d", "60", "-F", "99", *(part for file in files for part in ("-o", file)), program=[program, "60"])

    truth = {name: int(ns) for name, ns in (line.split() for line in result.stdout.splitlines())}
    shares = {name: ns / sum(truth.values()) for name, ns in truth.items()}
    counts: Counter[str] = Counter()
    parts: dict[int, Counter[str]] = {}
    start_ns = min(min(sample.timestamps_ns) for sample in samples_of(files[0]))
    for sample in samples_of(files[0]):
        branch = branch_of(sample)
        if branch is not None:
            counts[branch] += sample.count
            for time_ns in sample.timestamps_ns:
                parts.setdefault((time_ns - start_ns) // PART_NS, Counter())[branch] += 1
    print({name: (round(counts[name] / counts.total(), 4), round(shares[name], 4)) for name in BRANCHES})
    for name in BRANCHES:
        assert abs(counts[name] / counts.total() - shares[name]) < 0.02
    whole = [part for index, part in sorted(parts.items()) if index < 12]
    statistic = chi_square(whole, shares)
    print(f"chi-square {statistic:.1f} over {len(whole)} parts")
    assert statistic < CHI_SQUARE_0_1_PERCENT[3 * len(whole)]
    assert [sample_count(file) for file in files] == [result.captured] * 4
    assert result.lost == 0


@pytest.mark.collector
def test_the_collector_s_file_has_every_sample_of_a_minute(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector, running(build(tmp_path, "known_truth")):
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.grpc_endpoint}"}
        command = [str(OTELPROF), "run", "--exporter", "otlp", "-F", "99"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as profiler:
            collector.wait_for_requests(12, timeout_s=120)
            profiler.send_signal(signal.SIGTERM)
            _, log = profiler.communicate(timeout=30)
        messages = collector.received()

    captured, lost = re.findall(r"captured=(\d+) accepted=\d+ lost=(\d+)", log)[-1]
    assert int(lost) == 0
    assert sum(sample.count for message in messages for sample in read_samples(message)) == int(captured) > 1000


def test_periodic_work_is_neither_missed_nor_overcounted(tmp_path: Path) -> None:
    """A process burns 10 of every 50 ms: a fifth of one core's ticks at the default rate."""
    with running(build(tmp_path, "periodic")) as process:
        result = record("-d", "60", "-p", str(process.pid), "-o", tmp_path / "x.otlp")

    share = result.captured / (19 * result.seconds)
    print(f"{result.captured} of {19 * result.seconds:.0f} ticks: {share:.3f}")
    assert share == pytest.approx(0.20, abs=0.04)


def cpu_times() -> dict[str, float]:
    """Seconds of all CPUs by kind, from the first line of /proc/stat (proc(5))."""
    kinds = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    tick = os.sysconf("SC_CLK_TCK")
    return {kind: int(value) / tick for kind, value in zip(kinds, fields, strict=False)}


@contextmanager
def busy_cores() -> Iterator[None]:
    with ExitStack() as stack:
        for cpu in os.sched_getaffinity(0):
            stack.enter_context(running("taskset", "-c", str(cpu), sys.executable, "-c", "while True: pass"))
        yield


@pytest.mark.parametrize("frequency_hz", [19, 99])
def test_a_minute_of_ticks_is_the_time_that_the_cpus_were_busy(frequency_hz: int, tmp_path: Path) -> None:
    with busy_cores():
        command = [str(OTELPROF), "record", "-F", str(frequency_hz), "-o", str(tmp_path / "x.otlp")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as recorder:
            wait_until_sampling(recorder.pid)
            before, started = cpu_times(), time.monotonic()
            time.sleep(60)  # what is measured is the time itself
            recorder.send_signal(signal.SIGINT)
            after, ended = cpu_times(), time.monotonic()
            _, stderr = recorder.communicate(timeout=60)

    spent = {kind: after[kind] - before[kind] for kind in before}
    busy = sum(spent[kind] for kind in ("user", "nice", "system", "irq", "softirq"))
    captured, own, lost = (int(re.findall(rf"{name} (\d+)", stderr)[0]) for name in ("captured", "own", "lost"))
    seconds = float(re.findall(r"recorded ([\d.]+) s", stderr)[0])
    # The recorder began a moment before the first reading and ended a moment after the signal.
    ticks = (captured + own) * (ended - started) / seconds
    lowest, highest = 0.98 * frequency_hz * busy, 1.02 * frequency_hz * (busy + spent["steal"])
    print(f"{lowest:.0f} <= {ticks:.0f} <= {highest:.0f}; captured {captured}, own {own}, {seconds} s, {spent}")
    assert lowest <= ticks <= highest
    assert lost == 0


def wait_until_sampling(pid: int) -> None:
    """Wait until a recorder has opened its clocks: the event gives no other sign."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        links = [link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir()]
        if sum("perf_event" in link for link in links) == len(os.sched_getaffinity(0)):
            return
        time.sleep(0.02)
    pytest.fail("the recorder does not begin to sample")
