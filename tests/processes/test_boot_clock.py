"""Start times."""

import os
import time
from datetime import UTC, datetime

import pytest

from otelprof.processes.boot_clock import BootClock, read_boot_clock
from otelprof.processes.procfs import ProcessDirectory
from otelprof.roots import HostRoots
from tests.processes.trees import HostTree


@pytest.mark.parametrize(("start_ns", "ticks"), [(0, 0), (9_999_999, 0), (10_000_000, 1), (12_345_678_901, 1234)])
def test_ticks(start_ns: int, ticks: int) -> None:
    assert BootClock().ticks(start_ns) == ticks


def test_ticks_in_a_time_namespace() -> None:
    assert BootClock(offset_ns=5_000_000_000).ticks(1_000_000_000) == 600
    assert BootClock(offset_ns=-500_000_000).ticks(1_000_000_000) == 50


def test_creation_time() -> None:
    assert BootClock(1_700_000_000).creation_time(0) == "2023-11-14T22:13:20.000Z"
    assert BootClock(1_700_000_000).creation_time(12_345) == "2023-11-14T22:15:23.450Z"


def test_no_creation_time_without_the_time_of_the_boot() -> None:
    assert BootClock().creation_time(5) == ""


def test_what_procfs_tells(host: HostTree) -> None:
    assert read_boot_clock(host.roots) == BootClock(None, 0)

    host.write("proc/stat", "cpu  1 2\nintr 1 2 3\nctxt 4\nbtime 1700000000\nprocesses 9\n")
    host.write("proc/self/timens_offsets", "monotonic          -1         5\nboottime           -2 500000000\n")

    assert read_boot_clock(host.roots) == BootClock(1_700_000_000, -1_500_000_000)


def test_this_process() -> None:
    clock = read_boot_clock(HostRoots())
    with ProcessDirectory(HostRoots(), os.getpid()) as directory:
        created = datetime.fromisoformat(clock.creation_time(directory.at_open.start_ticks))

    assert created.tzinfo == UTC
    # The time of the boot is in whole seconds.
    assert -2 < time.time() - created.timestamp() < 3600
