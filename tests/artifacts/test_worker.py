"""The worker and its parsers, through the store: whatever a file does, it costs that file alone."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from otelprof.artifacts.limits import Limits
from otelprof.artifacts.store import State
from tests.artifacts import parsers
from tests.artifacts.conftest import Open, children_of, key_of, until, write_old
from tests.gates import ROOT

UPPER = parsers.kind("upper")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_old(tmp_path / "good", b"good")


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("refuse", "refused"),
        ("divide", "refused"),
        ("nothing", "refused"),
        ("recurse", "refused"),
        ("exhaust_memory", "memory"),
        ("segfault", "crash"),
        ("claim_too_much", "bad"),
        ("spin", "hang"),
    ],
)
def test_a_parser_that_fails_costs_one_file(
    name: str, failure: str, tmp_path: Path, good: Path, open_workshop: Open
) -> None:
    kind = parsers.kind(name)
    workshop = open_workshop(kind, UPPER, limits=Limits(max_cpu_s=1, address_space_bytes=128 << 20))
    bad = write_old(tmp_path / "bad", b"bad")

    assert workshop.make(kind, bad) is None
    assert workshop.failures() == {f"failed_{failure}": 1}
    assert workshop.store.state(kind, key_of(bad)) is State.FAILED
    assert workshop.make(UPPER, good) == b"GOOD"
    assert workshop.store.counters()["worker_starts"] == 1


def test_a_failure_is_remembered(tmp_path: Path, open_workshop: Open) -> None:
    kind = parsers.kind("refuse")
    workshop = open_workshop(kind)
    bad, copy = write_old(tmp_path / "bad", b"bad"), write_old(tmp_path / "copy", b"bad")

    workshop.make(kind, bad)
    workshop.make(kind, bad)
    assert workshop.store.counters()["requests"] == 1

    # The same content elsewhere is not parsed again either: no second parser could fail otherwise.
    os.kill(workshop.workers[0].pid, signal.SIGSTOP)
    workshop.make(kind, copy)
    assert workshop.failures() == {"failed_refused": 2}


def test_the_reason_is_logged_as_one_printable_line(
    tmp_path: Path, open_workshop: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    kind = parsers.kind("refuse")
    open_workshop(kind).make(kind, write_old(tmp_path / "b\nd", b""))

    (message,) = caplog.messages
    assert message.isprintable()
    assert message.endswith("refused (not an?ELF file ?[31m)")


@pytest.mark.parametrize("check", ["check_upper", "check_clumsily"])
def test_an_artifact_that_fails_its_check_is_never_used(check: str, good: Path, open_workshop: Open) -> None:
    kind = parsers.kind("wrong", "content", check)
    workshop = open_workshop(kind, UPPER)

    assert workshop.make(kind, good) is None
    assert workshop.failures() == {"failed_bad": 1}
    assert workshop.make(UPPER, good) == b"GOOD"


def test_an_artifact_may_not_be_larger_than_the_limit(tmp_path: Path, open_workshop: Open) -> None:
    kind = parsers.kind("flood")
    workshop = open_workshop(kind, limits=Limits(output_bytes=1 << 20))

    fits = (1 << 20) - 16
    assert workshop.make(kind, write_old(tmp_path / "fits", b"%d" % fits)) == bytes(fits)
    assert workshop.make(kind, write_old(tmp_path / "floods", b"%d" % (fits + 1))) is None
    assert workshop.failures() == {"failed_refused": 1}


def test_a_parser_cannot_write_beyond_the_limit(good: Path, open_workshop: Open) -> None:
    kind = parsers.kind("write_forever")
    workshop = open_workshop(kind, limits=Limits(output_bytes=1 << 20))

    assert workshop.make(kind, good) == b"tried"


def test_the_parser_killed_mid_request(tmp_path: Path, good: Path, open_workshop: Open) -> None:
    kind = parsers.kind("spin")
    workshop = open_workshop(kind, UPPER)
    workshop.request(kind, write_old(tmp_path / "bad", b"bad"))
    os.kill(workshop.parser(), signal.SIGKILL)

    assert workshop.make(UPPER, good) == b"GOOD"
    assert workshop.failures() == {"failed_crash": 1}
    assert workshop.store.counters()["worker_starts"] == 1


def test_the_worker_killed_mid_request(tmp_path: Path, good: Path, open_workshop: Open) -> None:
    """No file is to blame for that, so it is tried once more."""
    kind = parsers.kind("spin")
    workshop = open_workshop(kind, UPPER)
    workshop.request(kind, write_old(tmp_path / "bad", b"bad"))
    parsers_seen = []
    for attempt in range(2):
        until(partial(lambda count: len(workshop.workers) == count, attempt + 1))
        parsers_seen.append(workshop.parser())
        os.kill(workshop.workers[attempt].pid, signal.SIGKILL)

    assert workshop.make(UPPER, good) == b"GOOD"
    assert workshop.failures() == {"failed_crash": 1}
    assert workshop.store.counters()["worker_starts"] == 3
    until(lambda: not any(map(is_running, parsers_seen)))


def test_the_worker_killed_while_idle_costs_nothing(tmp_path: Path, good: Path, open_workshop: Open) -> None:
    workshop = open_workshop(UPPER)
    assert workshop.make(UPPER, good) == b"GOOD"
    os.kill(workshop.workers[0].pid, signal.SIGKILL)

    assert workshop.make(UPPER, write_old(tmp_path / "other", b"other")) == b"OTHER"
    assert workshop.failures() == {}
    assert workshop.store.counters()["worker_starts"] == 2


def test_a_parser_that_sleeps_is_killed_at_the_deadline(tmp_path: Path, good: Path, open_workshop: Open) -> None:
    kind = parsers.kind("spin")
    workshop = open_workshop(kind, UPPER, limits=Limits(cpu_s=0.5, wall_factor=1))
    workshop.request(kind, write_old(tmp_path / "bad", b"bad"))
    os.kill(workshop.parser(), signal.SIGSTOP)

    assert workshop.make(UPPER, good) == b"GOOD"
    assert workshop.failures() == {"failed_hang": 1}
    assert workshop.store.counters()["worker_starts"] == 1


def test_a_worker_that_sleeps_is_replaced(
    tmp_path: Path, good: Path, open_workshop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otelprof.artifacts.supervisor._GRACE_S", 0.2)
    workshop = open_workshop(UPPER, limits=Limits(cpu_s=0.2, wall_factor=1))
    assert workshop.make(UPPER, good) == b"GOOD"
    os.kill(workshop.workers[0].pid, signal.SIGSTOP)

    assert workshop.make(UPPER, write_old(tmp_path / "one", b"one")) is None
    assert workshop.make(UPPER, write_old(tmp_path / "two", b"two")) == b"TWO"
    assert workshop.failures() == {"failed_hang": 1}
    assert not Path(f"/proc/{workshop.workers[0].pid}").exists()


def test_one_worker_serves_many_files(tmp_path: Path, open_workshop: Open) -> None:
    workshop = open_workshop(UPPER)
    for number in range(300):
        assert workshop.make(UPPER, write_old(tmp_path / f"{number}", b"n%d" % number)) == b"N%d" % number

    assert workshop.store.counters()["worker_starts"] == 1
    assert children_of(workshop.workers[0].pid) == []


def test_an_idle_worker_ends_and_is_reaped(tmp_path: Path, good: Path, open_workshop: Open) -> None:
    workshop = open_workshop(UPPER, limits=Limits(idle_s=0.05))
    assert workshop.make(UPPER, good) == b"GOOD"
    # A zombie would still have its folder.
    until(lambda: not Path(f"/proc/{workshop.workers[0].pid}").exists())

    assert workshop.make(UPPER, write_old(tmp_path / "later", b"later")) == b"LATER"
    assert workshop.store.counters()["worker_starts"] == 2
    assert workshop.failures() == {}


def test_closing_ends_a_worker_that_is_busy(good: Path, open_workshop: Open) -> None:
    kind = parsers.kind("spin")
    workshop = open_workshop(kind)
    workshop.request(kind, good)
    parser = workshop.parser()
    workshop.store.close()

    assert not Path(f"/proc/{workshop.workers[0].pid}").exists()
    until(lambda: not is_running(parser))


def test_nothing_outlives_the_agent(good: Path) -> None:
    agent = subprocess.Popen([sys.executable, "-c", _AGENT, str(good)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with agent:
        assert agent.stdout is not None
        worker = int(agent.stdout.readline())
        until(lambda: children_of(worker))
        (parser,) = children_of(worker)
        agent.kill()

    until(lambda: not is_running(worker) and not is_running(parser))


_AGENT = """
import os, sys, time
from otelprof.artifacts.keys import FileKey
from otelprof.artifacts.launch import local_spawn
from otelprof.artifacts.limits import Limits
from otelprof.artifacts.store import ArtifactStore
from tests.artifacts import parsers

start = local_spawn([parsers.kind("spin").extract], Limits())
def spawn():
    worker = start()
    print(worker.pid, flush=True)
    return worker

store = ArtifactStore(None, kinds=[parsers.kind("spin")], spawn=spawn)
file = os.open(sys.argv[1], os.O_RDONLY)
store.request(parsers.kind("spin"), (FileKey.from_stat(os.fstat(file)),), [file], label="")
time.sleep(100)
"""


def is_running(pid: int) -> bool:
    """Tell whether a process runs; a zombie that nobody reaps does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_worker_imports_little(good: Path, open_workshop: Open) -> None:
    kind = parsers.kind("list_modules")
    modules = (open_workshop(kind).make(kind, good) or b"").decode().split()

    assert "otelprof.artifacts.worker" in modules
    assert not {"grpc", "google", "opentelemetry", "prometheus_client", "site", "subprocess", "threading"} & {*modules}
