"""Hours of sampling a busy host leave memory, descriptors and the stream of requests as they were.

``OTELPROF_SOAK_S`` says how many seconds (default: four hours).
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.collector_process import CONFIG, running_collector

SOAK_S = float(os.environ.get("OTELPROF_SOAK_S", "14400"))
WINDOW_S = 5
WARM_UP_WINDOWS = 24
"""Two minutes: by then every binary of the host was seen, and what is cached for good is cached."""
PSS_GROWTH_LIMIT_KIB = 10 * 1024

OTELPROF = Path(sys.executable).with_name("otelprof")
# Several hundred short processes a second, of ever new PIDs.
CHURN = "while :; do /bin/true; done"
# No files: hours of requests would fill the disk. The log has one line for each.
CONFIG_WITHOUT_FILES = CONFIG.replace("[file/json, file/proto, debug]", "[debug]")


@pytest.mark.soak
@pytest.mark.kernel
@pytest.mark.collector
@pytest.mark.timeout(0)
def test_a_long_run_neither_grows_nor_falls_silent(tmp_path: Path) -> None:
    with (
        running_collector(tmp_path, config=CONFIG_WITHOUT_FILES) as collector,
        (tmp_path / "otelprof.log").open("w") as log,
        subprocess.Popen(["/bin/sh", "-c", CHURN]) as churn,
        subprocess.Popen(
            [OTELPROF, "run", "--exporter", "otlp", "--window", f"{WINDOW_S}s"],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.grpc_endpoint}"},
            stderr=log,
        ) as profiler,
    ):
        try:
            collector.wait_for_requests(WARM_UP_WINDOWS, timeout_s=2 * WARM_UP_WINDOWS * WINDOW_S)
            pss_before, files_before = pss_kib(profiler.pid), open_files(profiler.pid)
            ends_at = time.monotonic() + SOAK_S
            requests = WARM_UP_WINDOWS
            while time.monotonic() < ends_at:
                requests += 1
                collector.wait_for_requests(requests, timeout_s=3 * WINDOW_S)
            pss_after, files_after = pss_kib(profiler.pid), open_files(profiler.pid)
            profiler.send_signal(signal.SIGINT)
            profiler.wait(30)
        finally:
            churn.kill()
            profiler.kill()

    print(f"{requests} requests, PSS {pss_before} -> {pss_after} KiB, open files {files_before} -> {files_after}")
    assert profiler.returncode == 0, (tmp_path / "otelprof.log").read_text()
    assert pss_after - pss_before < PSS_GROWTH_LIMIT_KIB
    assert files_after <= files_before


def pss_kib(pid: int) -> int:
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
