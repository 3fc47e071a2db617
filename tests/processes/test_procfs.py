"""Folders of processes in procfs, held open."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.errors import BadInput, FileUnavailable, MissingPrivilege, ProcessGone
from otelprof.processes.procfs import ProcessDirectory, ProcessStat, descendants, parse_stat, process_ids
from otelprof.roots import HostRoots
from tests.processes.trees import HostTree, running, stat_line

LIVE = HostRoots()


@pytest.mark.parametrize(
    "comm",
    [b"app", b"tmux: server", b"a) R 1 (b", b"))((", b"", b"new\nline", b"kworker/u4:2-events_unbound"],
    ids=repr,
)
def test_a_name_may_hold_anything(comm: bytes) -> None:
    stat = parse_stat(stat_line(42, comm, parent_pid=7, start_ticks=123, start_stack=456))

    assert stat == ProcessStat(42, comm.decode(), "S", 7, False, 123, 456)


def test_a_name_that_is_not_utf8_is_shown_with_replacements() -> None:
    assert parse_stat(stat_line(1, b"caf\xe9")).comm == "caf\N{REPLACEMENT CHARACTER}"


def test_kernel_threads_are_recognised_by_their_flag() -> None:
    assert parse_stat(stat_line(2, b"kthreadd", kernel_thread=True)).is_kernel_thread
    assert not parse_stat(stat_line(2, b"kthreadd")).is_kernel_thread


@pytest.mark.parametrize("text", [b"", b"1 (a) S", b"1 (a S 1 2 3", stat_line(1).replace(b" 1000 ", b" x ")])
def test_other_text_is_refused(text: bytes) -> None:
    with pytest.raises(BadInput):
        parse_stat(text)


@given(st.one_of(st.binary(max_size=400), st.binary(max_size=80).map(lambda junk: stat_line(1) + junk)))
def test_any_bytes_are_a_stat_or_refused(text: bytes) -> None:
    try:
        parse_stat(text)
    except BadInput:
        return


@given(st.binary(max_size=64), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_what_is_written_is_read(comm: bytes, start_ticks: int, start_stack: int) -> None:
    stat = parse_stat(stat_line(9, comm, start_ticks=start_ticks, start_stack=start_stack))

    assert (comm.decode("utf-8", "replace"), start_ticks, start_stack) == (
        stat.comm,
        stat.start_ticks,
        stat.start_stack,
    )


def test_no_such_process(host: HostTree) -> None:
    with pytest.raises(ProcessGone, match="process 77 has ended"):
        ProcessDirectory(host.roots, 77)


def test_a_process_that_is_only_waited_for_is_gone(host: HostTree) -> None:
    host.process(5, state="Z", start_stack=0)
    host.process(5, thread=5, state="Z", start_stack=0)

    with pytest.raises(ProcessGone):
        ProcessDirectory(host.roots, 5)


def test_a_process_without_main_thread_is_read_through_a_living_one(host: HostTree) -> None:
    host.process(5, state="Z", start_ticks=1000, start_stack=0)
    host.process(5, thread=5, state="Z", start_stack=0)
    host.process(5, thread=8, state="R", start_ticks=2000, start_stack=0x77, maps="eight")
    host.process(5, thread=9, state="R", start_ticks=3000, start_stack=0x77, maps="nine")

    with ProcessDirectory(host.roots, 5) as directory:
        assert (directory.at_open.start_ticks, directory.at_open.start_stack) == (1000, 0x77)
        assert directory.stat() == directory.at_open
        assert directory.read("maps", 100) in {b"eight", b"nine"}


def test_reading_stops_at_the_limit(host: HostTree) -> None:
    host.write(f"{host.process(5)}/environ", b"x" * 200_000)

    with ProcessDirectory(host.roots, 5) as directory:
        assert len(directory.read("environ", 70_000)) == 70_000
        assert len(directory.read("environ", 300_000)) == 200_000


def test_what_procfs_refuses_is_an_error_of_ours(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    host.process(5)

    with ProcessDirectory(host.roots, 5) as directory:
        for code, expected in (
            (errno.EACCES, MissingPrivilege),
            (errno.EIO, FileUnavailable),
            (errno.ESRCH, ProcessGone),
        ):

            def refuse(*_: object, code: int = code, **__: object) -> int:
                raise OSError(code, os.strerror(code))

            with monkeypatch.context() as patched:
                patched.setattr(os, "open", refuse)
                for read in (directory.stat, lambda: directory.read("maps", 9), lambda: directory.open_path("root")):
                    with pytest.raises(expected):
                        read()


def test_inode_numbers(host: HostTree) -> None:
    folder = host.process(5)

    with ProcessDirectory(host.roots, 5) as directory:
        assert directory.inode("exe") == (host.root / folder / "exe").stat().st_ino


def test_inode_numbers_are_not_asked_of_the_file_system(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    if b"ino:" not in Path("/proc/self/fdinfo/0").read_bytes():
        pytest.skip("this kernel does not show inodes in fdinfo (Linux 5.14)")
    folder = host.process(5)
    inode = (host.root / folder / "exe").stat().st_ino

    with ProcessDirectory(host.roots, 5) as directory, monkeypatch.context() as patched:
        for name in ("stat", "fstat"):
            patched.setattr(os, name, None)
        shown = directory.inode("exe")

    assert shown == inode


def test_inode_numbers_before_fdinfo_had_them(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = host.process(5)
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, size).replace(b"ino:", b"xxx:"))

    with ProcessDirectory(host.roots, 5) as directory:
        assert directory.inode("exe") == (host.root / folder / "exe").stat().st_ino


def test_a_folder_stays_with_its_process() -> None:
    with running("cat") as child, ProcessDirectory(LIVE, child.pid) as directory:
        assert directory.link("exe").endswith(b"cat")
        child.kill()
        child.wait()

        for read in (directory.stat, lambda: directory.read("maps", 9), lambda: directory.link("exe")):
            with pytest.raises(ProcessGone):
                read()


@pytest.fixture
def main_thread_gone() -> "Iterator[Popen[bytes]]":
    """A process whose main thread has called pthread_exit."""
    program = (
        "import ctypes, threading, sys, time\n"
        "def stay():\n"
        "    while open('/proc/self/stat').read().rpartition(')')[2].split()[0] != 'Z': time.sleep(0.001)\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
        "threading.Thread(target=stay).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    with Popen(["python3", "-c", program], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield child
        child.kill()


def test_a_real_process_without_main_thread(main_thread_gone: "Popen[bytes]") -> None:
    with ProcessDirectory(LIVE, main_thread_gone.pid) as directory:
        assert directory.at_open.start_stack
        assert b"python" in directory.link("exe")
        assert b"libc" in directory.read("maps", 1 << 20)


def test_processes_in_a_tree(host: HostTree) -> None:
    for pid, parent in ((30, 1), (40, 30), (50, 40), (41, 30), (60, 1), (9, 60)):
        host.process(pid, parent_pid=parent)
    host.write("proc/meminfo", "")

    assert process_ids(host.roots) == (9, 30, 40, 41, 50, 60)
    assert descendants(host.roots, 30) == (40, 41, 50)
    assert descendants(host.roots, 60) == (9,)
    assert descendants(host.roots, 9) == ()


def test_a_loop_of_parents_ends(host: HostTree) -> None:
    # Cannot be, but for a scan that lasts while PIDs are reused.
    host.process(30, parent_pid=31)
    host.process(31, parent_pid=30)

    assert descendants(host.roots, 30) == (31,)


def test_no_procfs(host: HostTree) -> None:
    with pytest.raises(FileUnavailable, match="mount procfs"):
        process_ids(host.roots)


def test_real_descendants() -> None:
    with running("sh", "-c", "cat; true") as shell:
        found = descendants(LIVE, shell.pid)

        assert len(found) == 1
        assert found[0] in descendants(LIVE, os.getpid())
