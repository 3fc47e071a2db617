import errno
import os
from pathlib import Path

import pytest

from otelprof.errors import EnvironmentFailure
from otelprof.roots import HostRoots
from otelprof.sampler.perf import ClockEvents, online_cpus, parse_cpu_list


def host(tmp_path: Path, online: str) -> HostRoots:
    path = tmp_path / "sys/devices/system/cpu/online"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(online)
    return HostRoots(tmp_path)


class Kernel:
    """Opens a file with a count of nanoseconds for each clock."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.started: list[int] = []
        self.absent: set[int] = set()
        self.sleeps: list[float] = []

    def open(self, cpu: int, period_ns: int) -> int:
        if cpu in self.absent:
            raise OSError(errno.ENODEV, "No such device")
        path = self.folder / f"count{cpu}"
        path.write_bytes((period_ns * 10).to_bytes(8, "little") * 10)  # one per read
        return os.open(path, os.O_RDONLY)

    def start(self, fd: int, program_fd: int) -> None:
        assert program_fd == 3
        self.started.append(fd)


def clocks(roots: HostRoots, kernel: Kernel) -> ClockEvents:
    return ClockEvents(roots, 100, 3, opener=kernel.open, start=kernel.start, sleep=kernel.sleeps.append)


@pytest.mark.parametrize(("text", "cpus"), [("0\n", {0}), ("0-3,8", {0, 1, 2, 3, 8}), ("", set())])
def test_cpu_lists(text: str, cpus: set[int]) -> None:
    assert parse_cpu_list(text) == cpus


def test_clocks_start_one_after_the_other_within_a_period(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    events = clocks(host(tmp_path, "0-3"), kernel)

    assert events.follow_hotplug()

    assert events.cpus == {0, 1, 2, 3}
    assert len(kernel.started) == 4
    assert kernel.sleeps == [0.0025] * 3
    events.close()


def test_a_cpu_that_returns_gets_a_new_clock_and_counts_add_up(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    events = clocks(host(tmp_path, "0-1"), kernel)
    events.follow_hotplug()
    assert not events.follow_hotplug()

    host(tmp_path, "0")
    assert events.follow_hotplug()
    assert events.cpus == {0}
    host(tmp_path, "0-1")
    assert events.follow_hotplug()

    assert events.cpus == {0, 1}
    assert len(kernel.started) == 3
    assert events.expected_ticks() == 30
    events.close()
    assert events.expected_ticks() == 30


def test_a_cpu_that_leaves_while_its_clock_is_opened_is_left_out(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.absent = {1}
    events = clocks(host(tmp_path, "0-1"), kernel)

    events.follow_hotplug()

    assert events.cpus == {0}
    events.close()


def test_an_unreadable_cpu_list_is_explained(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure, match="which CPUs are online"):
        online_cpus(HostRoots(tmp_path))
