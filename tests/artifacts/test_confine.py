"""What worker and parser cannot do, tried from inside and seen from outside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otelprof.artifacts.limits import Limits
from tests.artifacts import parsers
from tests.artifacts.conftest import Open, Workshop, until, write_old
from tests.gates import ROOT

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change user and leave the network")


@pytest.fixture
def some_file(tmp_path: Path) -> Path:
    return write_old(tmp_path / "file", b"content")


@pytest.mark.parametrize(
    "act",
    [
        "open_file",
        "read_proc",
        "stat_path",
        "make_socket",
        "fork",
        "execute",
        "trace",
        "kill_parent",
        "map_code",
        "chmod_input",
    ],
)
def test_what_the_filter_kills_for(
    act: str, some_file: Path, open_workshop: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    kind = parsers.kind(act)
    workshop = open_workshop(kind)

    assert workshop.make(kind, some_file) is None
    assert workshop.failures() == {"failed_crash": 1}
    assert caplog.messages[-1].endswith("crash (SIGSYS)")


def test_a_stream_on_a_descriptor_can_be_read(some_file: Path, open_workshop: Open) -> None:
    kind = parsers.kind("open_stream")

    assert open_workshop(kind).make(kind, some_file) == b"on"


def test_the_parser_has_streams_output_and_input_only(some_file: Path, open_workshop: Open) -> None:
    kind = parsers.kind("list_descriptors")
    inherited = os.open("/", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        listed = open_workshop(kind).make(kind, some_file)
    finally:
        os.close(inherited)

    assert listed == b"0\n1\n2\n4\n5"


@pytest.fixture
def busy(some_file: Path, open_workshop: Open) -> Workshop:
    """A worker whose parser is at work."""
    kind = parsers.kind("spin")
    workshop = open_workshop(kind)
    workshop.request(kind, some_file)
    parser = workshop.parser()
    until(lambda: status(parser)["Seccomp"] == "2")
    return workshop


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@needs_root
def test_what_root_gives_up(busy: Workshop) -> None:
    assert busy.store.confinement() == ()
    for pid in (busy.workers[0].pid, busy.parser()):
        found = status(pid)
        assert {*found["Uid"].split(), *found["Gid"].split()} == {str(Limits().user_id)}
        assert found["Groups"] == ""
        assert {int(found[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        assert found["NoNewPrivs"] == "1"
        process = Path(f"/proc/{pid}")
        assert (process / "ns/net").readlink() != Path("/proc/self/ns/net").readlink()
        assert (process / "root").readlink() == (process / "cwd").readlink()
        assert str((process / "root").readlink()).endswith("/fdinfo")
        # What procfs shows of a process that is not dumpable belongs to root, whatever the user.
        assert (process / "mem").stat().st_uid == 0


def test_what_everybody_gives_up(busy: Workshop) -> None:
    for pid in (busy.workers[0].pid, busy.parser()):
        process = Path(f"/proc/{pid}")
        assert (process / "oom_score_adj").read_text() == "1000\n"
        assert os.getpriority(os.PRIO_PROCESS, pid) == Limits().niceness
        limits = (process / "limits").read_text()
        assert f"Max address space         {Limits().address_space_bytes} " in limits
        assert "Max open files            16 " in limits
        assert "Max core file size        0 " in limits
        streams = {str(path.readlink()) for path in (process / "fd").iterdir() if int(path.name) < 3}
        assert streams == {"/dev/null"}
    assert "Max processes             0 " in Path(f"/proc/{busy.parser()}/limits").read_text()


def test_the_worker_gets_no_environment(some_file: Path, open_workshop: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_API_KEY", "secret")
    kind = parsers.kind("upper")
    workshop = open_workshop(kind)
    workshop.make(kind, some_file)

    assert b"secret" not in Path(f"/proc/{workshop.workers[0].pid}/environ").read_bytes()


def test_what_is_missing_is_said(some_file: Path) -> None:
    agent = subprocess.run(
        [sys.executable, "-c", _AGENT_WITHOUT_CAPABILITIES, str(some_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert agent.stdout.splitlines() == [
        "its own user (Operation not permitted)",
        "no directories (Operation not permitted)",
        "no network (Operation not permitted)",
        "CONTENT",
    ]
    assert agent.stderr.count("confined less than it could be") == 1


_AGENT_WITHOUT_CAPABILITIES = """
import ctypes, os, sys, time
from otelprof.artifacts.keys import FileKey
from otelprof.artifacts.store import ArtifactStore
from tests.artifacts import parsers

libc = ctypes.CDLL(None)
# Without new privileges, or starting Python would give root its capabilities back.
assert libc.prctl(38, 1, 0, 0, 0) == 0
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
assert libc.capset(header, (ctypes.c_uint32 * 6)()) == 0
kind = parsers.kind("upper")
with ArtifactStore(None, kinds=[kind]) as store:
    file = os.open(sys.argv[1], os.O_RDONLY)
    key = (FileKey.from_stat(os.fstat(file)),)
    store.request(kind, key, [file], label="")
    assert store.wait(time.monotonic() + 60)
    print(*sorted(store.confinement()), bytes(store.get(kind, key)).decode(), sep="\\n")
"""
