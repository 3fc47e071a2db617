"""``otelprof run`` beside a real Collector."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from otelprof.model.check import check
from otelprof.model.reader import read_samples
from otelprof.model.rules import Level
from tests.e2e.collector_process import running_collector
from tests.gates import require_kernel
from tests.kernel.programs import build, running
from tests.kernel.recording import OTELPROF

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True, scope="module")
def _kernel() -> None:
    require_kernel()


def ledger(log: str, field: str) -> int:
    """A number of the last ledger lines."""
    found = re.findall(rf" {field}=(\d+)", log)
    assert found, log
    return int(found[-1])


@pytest.mark.collector
def test_every_accepted_sample_is_in_the_collector_s_file(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector, running(build(tmp_path, "known_truth")):
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.grpc_endpoint}"}
        command = [OTELPROF, "run", "--exporter", "otlp", "-F", "199", "--window", "1s"]
        with subprocess.Popen(
            [str(part) for part in command], env=environment, stderr=subprocess.PIPE, text=True
        ) as profiler:
            collector.wait_for_requests(3, timeout_s=60)
            profiler.send_signal(signal.SIGTERM)
            _, log = profiler.communicate(timeout=30)
        assert profiler.returncode == 0, log
        messages = collector.received()

    received = sum(sample.count for message in messages for sample in read_samples(message))
    assert received == ledger(log, "exported") == ledger(log, "captured") > 100
    assert ledger(log, "lost") == 0
    names = {
        line.function.name
        for message in messages
        for sample in read_samples(message)
        for frame in sample.stack
        for line in frame.lines
    }
    assert {"leaf", "takes_half", "main"} <= names


def test_without_a_collector_it_warns_once_and_goes_on(tmp_path: Path) -> None:
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    command = [str(OTELPROF), "run", "--exporter", "otlp", "--window", "500ms"]
    with (
        running(build(tmp_path, "recurse")),
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as profiler,
    ):
        assert profiler.stderr is not None
        lines = [profiler.stderr.readline() for _ in range(2)]
        assert "cannot deliver" in lines[-1]
        profiler.send_signal(signal.SIGINT)
        rest = profiler.stderr.read()
        profiler.wait(30)

    assert profiler.returncode == 0
    assert rest.count("cannot deliver") == 0
    assert ledger(rest, "dropped") == ledger(rest, "captured")


def test_what_leaves_the_agent_passes_the_checker(tmp_path: Path) -> None:
    """What a Collector stores has been rewritten by it, so what was sent is judged at the exporter's own door."""
    output = tmp_path / "x.otlp"
    with running(build(tmp_path, "known_truth")):
        command = [str(OTELPROF), "record", "-d", "2", "--window", "500ms", "-F", "199", "-o", str(output)]
        subprocess.run(command, check=True, stderr=subprocess.PIPE)

    assert [breach for breach in check(output.read_bytes()) if breach.level is not Level.NOTICE] == []


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "no exporter was named"),
        (["--exporter", "carrier-pigeon"], 2, "no exporter called 'carrier-pigeon'"),
        (["--exporter", "otlp", "-F", "0"], 2, "sampling rate"),
    ],
)
def test_bad_use_is_one_sentence(arguments: list[str], code: int, sentence: str) -> None:
    result = subprocess.run([OTELPROF, "run", *arguments], capture_output=True, text=True, check=False, timeout=60)

    assert result.returncode == code
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
