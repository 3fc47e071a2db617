"""The example beside a Collector works as its README shows it."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otelprof.formats.registry import open_profiles
from otelprof.model.reader import read_samples
from tests.e2e.collector_process import PROFILES_GATE, running_collector
from tests.gates import ROOT

EXAMPLE = ROOT / "examples/collector-sidecar"

OTELPROF = Path(sys.executable).with_name("otelprof")


def shown_commands() -> list[list[str]]:
    """Give the commands of the README's console blocks, in order."""
    blocks = re.findall(r"```console\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    return [shlex.split(line[2:]) for block in blocks for line in block.splitlines() if line[:2] in {"$ ", "# "}]


@pytest.mark.kernel
@pytest.mark.collector
def test_the_commands_of_the_readme_bring_profiles_of_this_host_into_the_file(tmp_path: Path) -> None:
    start_collector, (program, *run_arguments) = shown_commands()
    assert start_collector == ["otelcol-contrib", "--config=collector.yaml", PROFILES_GATE]
    assert program == "otelprof"
    config = (EXAMPLE / "collector.yaml").read_text()

    with running_collector(tmp_path, config=config, environment={"PROFILES_ENDPOINT": "127.0.0.1:0"}) as collector:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.grpc_endpoint}"}
        with (
            (tmp_path / "otelprof.log").open("w") as log,
            subprocess.Popen([OTELPROF, *run_arguments], cwd=tmp_path, env=environment, stderr=log) as profiler,
        ):
            try:
                collector.wait_for_requests(1, timeout_s=60)
                profiler.send_signal(signal.SIGINT)
                profiler.wait(30)
            finally:
                profiler.kill()

    said = (tmp_path / "otelprof.log").read_text()
    assert profiler.returncode == 0, said
    assert "Traceback" not in said
    messages = list(open_profiles(tmp_path / "profiles.otlp.jsonl"))
    assert messages
    for message in messages:
        services = [dict(sample.resource.attributes)["service.name"] for sample in read_samples(message)]
        assert all(services)
        assert services
