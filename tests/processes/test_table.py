"""The processes that were sampled."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from otelprof.processes.host import Host
from otelprof.processes.info import InfoReader
from otelprof.processes.mappings import MAX_MAPPINGS
from otelprof.processes.procfs import ProcessDirectory, descendants
from otelprof.processes.resource import ProcessInfo
from otelprof.processes.service import Service
from otelprof.processes.table import KEEP_ENDED_NS, Process, ProcessTable
from otelprof.roots import HostRoots
from tests.processes.test_files import UNSHARE, copy_of_cat, own_mapping
from tests.processes.trees import HOST_CGROUP_NAMESPACE, TICK_NS, HostTree, live_notice, running

ID = "ab" * 32
MAPS = "00001000-00003000 r-xp 00000000 00:00 12345 /usr/bin/app\n"
OTHER_MAPS = "00005000-00006000 r-xp 00000000 00:00 12346 /usr/lib/other.so\n"


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(host: HostTree, clock: Clock) -> ProcessTable:
    host.boot()
    return ProcessTable(host.roots, Host("node-7"), clock=clock, limit=4)


def paths(process: Process) -> list[str]:
    return [mapping.path for mapping in process.mappings]


class TestLearn:
    """A process that runs what the sampler saw."""

    def test_everything(self, host: HostTree, table: ProcessTable) -> None:
        host.process(
            5,
            b"app: main",
            environ={"DD_SERVICE": "shop", "DD_ENV": "prod", "SECRET": "x"},
            arguments=["app", "--token", "x"],
            cgroup=f"0::/docker/{ID}\n",
            maps=MAPS,
        )
        process = table.learn(host.notice(5, space=77))

        assert (process.space, process.pid, process.maps_pid, process.comm) == (77, 5, 5, "app: main")
        assert process.start_ns == 1000 * TICK_NS + 4_321
        assert not process.gone
        assert paths(process) == ["/usr/bin/app"]
        assert not process.mappings_truncated
        assert dict(process.resource.attributes) == {
            "service.name": "shop",
            "deployment.environment.name": "prod",
            "process.pid": 5,
            "process.executable.name": "app",
            "process.executable.path": f"{host.root}/files/usr/bin/app",
            "process.creation.time": "2023-11-14T22:13:30.000Z",
            "container.id": ID,
            "otelprof.entity.id": f"ci-{ID}",
            "host.name": "node-7",
            "os.type": "linux",
        }
        assert table.get(77) is process
        assert table.get(78) is None

    def test_nothing_but_the_name(self, host: HostTree, table: ProcessTable) -> None:
        """As for a process that is hidden from us: no executable, no stack, no maps."""
        folder = host.process(5, executable=None, start_stack=0)
        for name in ("maps", "environ", "cgroup", "cmdline"):
            (host.root / folder / name).unlink()
        process = table.learn(host.notice(5, executable_inode=99))

        assert not process.gone
        assert (process.info.service, process.executable, process.mappings) == (Service("app", inferred=True), "", ())

    def test_a_kernel_thread(self, host: HostTree, table: ProcessTable) -> None:
        host.process(9, b"kworker/0:1", kernel_thread=True, executable=None, start_stack=0, parent_pid=2)
        process = table.learn(host.notice(9, start_stack=0))

        assert not process.gone
        assert process.info.service == Service("system", inferred=False)
        assert process.comm == "kworker/0:1"

    def test_a_deleted_executable(self, host: HostTree, table: ProcessTable) -> None:
        host.process(5, executable="/opt/app (deleted)")

        process = table.learn(host.notice(5))
        assert (process.executable, process.info.service.name) == (f"{host.root}/files/opt/app", "app")

    def test_a_process_without_main_thread(self, host: HostTree, table: ProcessTable) -> None:
        host.process(5, state="Z", start_stack=0, executable=None)
        host.process(5, thread=6, maps=MAPS, start_ticks=5000)
        inode = (host.root / "proc/5/task/6/exe").stat().st_ino
        process = table.learn(host.notice(5, executable_inode=inode))

        assert not process.gone
        assert paths(process) == ["/usr/bin/app"]
        assert process.info.creation_time == "2023-11-14T22:13:30.000Z"
        assert table.sweep() == ()

    def test_a_container_known_by_its_namespace(self, host: HostTree, table: ProcessTable) -> None:
        inode = host.write("sys/fs/cgroup/box/cgroup.procs", "").parent.stat().st_ino
        host.process(5, cgroup="0::/box\n", cgroup_namespace=HOST_CGROUP_NAMESPACE + 1)

        assert table.learn(host.notice(5)).info.entity_id == f"in-{inode}"

    def test_command_lines_only_on_request(self, host: HostTree) -> None:
        host.process(5, executable="/usr/bin/python3", arguments=["python3", "a.py", "--token", "x"])
        notice = host.notice(5)

        plain = ProcessTable(host.roots, None).learn(notice).info
        inferring = ProcessTable(host.roots, None, infer_from_command=True).learn(notice).info
        keeping = ProcessTable(host.roots, None, with_command_line=True).learn(notice).info

        assert (plain.service.name, plain.command_line) == ("python3", "")
        assert (inferring.service, inferring.command_line) == (Service("a", inferred=True), "")
        assert (keeping.service.name, keeping.command_line) == ("python3", "python3 a.py --token x")

    def test_too_many_mappings(self, host: HostTree, table: ProcessTable) -> None:
        host.process(5, maps=MAPS * (MAX_MAPPINGS + 1))
        process = table.learn(host.notice(5))

        assert (len(process.mappings), process.mappings_truncated) == (MAX_MAPPINGS, True)

    def test_in_a_time_namespace(self, host: HostTree) -> None:
        host.write("proc/self/timens_offsets", "boottime 100 0\n")
        host.process(5, start_ticks=11_000)

        assert not ProcessTable(host.roots, None).learn(host.notice(5)).gone


class TestAnotherProgram:
    """What /proc/<pid> shows is believed only if it is what was sampled."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"start_ticks": 1001},
            {"start_stack": 0x7FFC_0000_2000},
            {"start_stack": 0},
            {"executable": "/usr/bin/other"},
        ],
        ids=str,
    )
    def test_is_not_taken(self, host: HostTree, table: ProcessTable, changes: dict[str, int]) -> None:
        host.process(5, environ={"DD_SERVICE": "old"}, maps=MAPS)
        notice = host.notice(5)
        host.process(5, environ={"DD_SERVICE": "new"}, maps=OTHER_MAPS, **changes)  # type: ignore[arg-type]
        process = table.learn(notice)

        assert process.gone
        assert process.info == ProcessInfo(5, Service("app", inferred=True), "2023-11-14T22:13:30.000Z")
        assert process.mappings == ()

    @pytest.mark.parametrize("field", ["start_stack", "executable_inode"])
    def test_what_the_notice_leaves_open_is_not_compared(self, host: HostTree, table: ProcessTable, field: str) -> None:
        host.process(5)

        assert not table.learn(host.notice(5, **{field: 0})).gone

    @pytest.mark.parametrize(
        "changes", [{"start_stack": 1}, {"start_ticks": 5}, {"executable": "/usr/bin/other"}], ids=str
    )
    def test_an_exec_while_it_is_read(
        self, host: HostTree, table: ProcessTable, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int]
    ) -> None:
        host.process(5, environ={"DD_SERVICE": "old"})
        read = InfoReader.read

        def exec_meanwhile(self: InfoReader, directory: ProcessDirectory, cgroup_id: int = 0) -> ProcessInfo:
            host.process(5, environ={"DD_SERVICE": "new"}, **changes)  # type: ignore[arg-type]
            return read(self, directory, cgroup_id)

        monkeypatch.setattr(InfoReader, "read", exec_meanwhile)
        process = table.learn(host.notice(5))

        assert process.gone
        assert process.info.service.name == "app"

    def test_a_main_thread_that_ends_while_it_is_read(
        self, host: HostTree, table: ProcessTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host.process(5)
        host.process(5, thread=6, maps=MAPS)
        read = InfoReader.read

        def end_meanwhile(self: InfoReader, directory: ProcessDirectory, cgroup_id: int = 0) -> ProcessInfo:
            host.process(5, state="Z", start_stack=0)
            return read(self, directory, cgroup_id)

        notice = host.notice(5)
        monkeypatch.setattr(InfoReader, "read", end_meanwhile)
        process = table.learn(notice)

        assert (process.gone, paths(process)) == (False, ["/usr/bin/app"])

    def test_a_reused_pid(self, host: HostTree, table: ProcessTable) -> None:
        host.process(5, environ={"DD_SERVICE": "first"})
        table.learn(host.notice(5, space=1))
        host.process(5, environ={"DD_SERVICE": "second"}, start_ticks=2000)
        second = table.learn(host.notice(5, space=2, start_ns=2000 * TICK_NS))

        assert second.info.service.name == "second"
        assert [process.space for process in table.sweep()] == [1]
        assert table.get(2) is second


class TestTooLate:
    """A process that has ended is put together from what is left."""

    def test_the_notice_alone(self, host: HostTree, table: ProcessTable) -> None:
        process = table.learn(host.notice(5, comm="short"))

        assert process.gone
        assert (process.comm, process.maps_pid, process.mappings) == ("short", 5, ())
        assert dict(process.resource.attributes) == {
            "service.name": "short",
            "otelprof.service.inferred": True,
            "process.pid": 5,
            "process.creation.time": "2023-11-14T22:13:30.000Z",
            "host.name": "node-7",
            "os.type": "linux",
        }

    def test_a_kernel_thread(self, host: HostTree, table: ProcessTable) -> None:
        kthreadd_child = host.notice(5, comm="kworker/1:0", parent_pid=2, start_stack=0)

        assert table.learn(kthreadd_child).info.service == Service("system", inferred=False)

    def test_its_control_group(self, host: HostTree, table: ProcessTable) -> None:
        inode = host.write(f"sys/fs/cgroup/docker/{ID}/cgroup.procs", "").parent.stat().st_ino
        process = table.learn(host.notice(5, cgroup_id=inode))

        assert (process.info.cgroup.container_id, process.info.entity_id) == (ID, f"ci-{ID}")

    def test_a_control_group_that_was_removed_as_well(self, host: HostTree, table: ProcessTable) -> None:
        group = host.write(f"sys/fs/cgroup/docker/{ID}/cgroup.procs", "").parent
        inode = group.stat().st_ino
        host.process(4, cgroup=f"0::/docker/{ID}\n")
        table.learn(host.notice(4, space=4, cgroup_id=inode))
        group.rename(host.root / "removed")

        assert table.learn(host.notice(5, cgroup_id=inode)).info.cgroup.container_id == ID

    @pytest.fixture
    def program(self, host: HostTree) -> int:
        """Process 4 runs, and forks; the inode of its executable."""
        host.process(4, environ={"DD_SERVICE": "shop"}, maps=MAPS, cgroup=f"0::/docker/{ID}\n")
        return (host.root / "proc/4/exe").stat().st_ino

    def test_a_fork_of_a_known_parent(self, host: HostTree, table: ProcessTable, program: int) -> None:
        parent = table.learn(host.notice(4, space=4))
        child = table.learn(
            host.notice(5, parent_pid=4, parent_space=4, executable_inode=program, start_ns=3000 * TICK_NS)
        )

        assert child.gone
        assert child.info == replace(parent.info, pid=5, creation_time="2023-11-14T22:13:50.000Z")
        assert (child.mappings, child.maps_pid) == (parent.mappings, 4)

    def test_a_fork_of_a_parent_that_was_not_sampled(self, host: HostTree, table: ProcessTable, program: int) -> None:
        child = table.learn(host.notice(5, parent_pid=4, executable_inode=program))

        assert (child.gone, child.info.service.name, child.maps_pid) == (True, "shop", 4)
        assert paths(child) == ["/usr/bin/app"]
        assert table.get(0) is None

    def test_a_fork_of_a_fork(self, host: HostTree, table: ProcessTable, program: int) -> None:
        table.learn(host.notice(5, space=5, parent_pid=4, executable_inode=program))
        grandchild = table.learn(host.notice(6, space=6, parent_pid=5, parent_space=5, executable_inode=program))

        assert (grandchild.info.pid, grandchild.info.service.name, grandchild.maps_pid) == (6, "shop", 4)

    @pytest.mark.parametrize("changes", [{"start_stack": 1}, {"executable_inode": 1}, {"start_stack": 0}], ids=str)
    def test_a_child_that_ran_another_program(
        self, host: HostTree, table: ProcessTable, program: int, changes: dict[str, int]
    ) -> None:
        table.learn(host.notice(4, space=4))
        values = {"parent_pid": 4, "parent_space": 4, "executable_inode": program} | changes
        child = table.learn(host.notice(5, comm="other", **values))

        assert (child.info.service.name, child.mappings) == ("other", ())

    def test_a_parent_that_is_hidden_proves_nothing(self, host: HostTree, table: ProcessTable) -> None:
        host.process(4, environ={"DD_SERVICE": "shop"}, executable=None, start_stack=0)

        assert table.learn(host.notice(5, comm="other", parent_pid=4)).info.service.name == "other"

    def test_a_fork_on_a_host_with_v1(self, host: HostTree, table: ProcessTable, program: int) -> None:
        root = host.write("sys/fs/cgroup/unified/cgroup.procs", "").parent.stat().st_ino
        child = table.learn(host.notice(5, parent_pid=4, executable_inode=program, cgroup_id=root))

        assert child.info.cgroup.container_id == ID

    def test_a_fork_in_another_container(self, host: HostTree, table: ProcessTable, program: int) -> None:
        other = "cd" * 32
        group = host.write(f"sys/fs/cgroup/docker/{other}/cgroup.procs", "").parent.stat().st_ino
        child = table.learn(host.notice(5, parent_pid=4, executable_inode=program, cgroup_id=group))

        assert (child.info.service.name, child.info.cgroup.container_id) == ("shop", other)
        assert child.info.entity_id == f"ci-{other}"


class TestRefresh:
    """Libraries come and go."""

    def test_new_mappings(self, host: HostTree, table: ProcessTable) -> None:
        host.process(5, maps=MAPS)
        table.learn(host.notice(5, space=7))
        host.process(5, maps=MAPS + OTHER_MAPS)
        process = table.refresh_mappings(7)

        assert process is not None
        assert paths(process) == ["/usr/bin/app", "/usr/lib/other.so"]
        assert table.get(7) is process

    def test_another_program(self, host: HostTree, table: ProcessTable) -> None:
        host.process(5, maps=MAPS)
        table.learn(host.notice(5, space=7))
        host.process(5, maps=OTHER_MAPS, start_stack=1)
        process = table.refresh_mappings(7)

        assert process is not None
        assert (process.gone, paths(process)) == (True, ["/usr/bin/app"])
        assert table.refresh_mappings(7) is process
        assert table.sweep() == (process,)

    def test_an_unknown_process(self, table: ProcessTable) -> None:
        assert table.refresh_mappings(7) is None


class TestSweep:
    """Who has ended is told once, and forgotten later."""

    def test_ends(self, host: HostTree, table: ProcessTable, clock: Clock) -> None:
        for pid in (5, 6, 7):
            host.process(pid)
            table.learn(host.notice(pid, space=pid))
        assert table.sweep() == ()

        host.process(5, state="Z")
        host.process(5, thread=5, state="Z")
        host.process(6, start_stack=1)
        ended = table.sweep()

        assert {(process.space, process.gone) for process in ended} == {(5, True), (6, True)}
        assert table.get(5) in ended
        assert table.sweep() == ()
        clock.now_ns = KEEP_ENDED_NS - 1
        table.sweep()
        assert table.get(5) is not None
        clock.now_ns = KEEP_ENDED_NS
        table.sweep()
        assert [table.get(space) is None for space in (5, 6, 7)] == [True, True, False]

    def test_one_that_was_learnt_too_late_is_told_as_well(self, host: HostTree, table: ProcessTable) -> None:
        process = table.learn(host.notice(5))

        assert table.sweep() == (process,)
        assert table.sweep() == ()

    def test_a_process_that_hides_is_still_there(self, host: HostTree, table: ProcessTable) -> None:
        host.process(5)
        table.learn(host.notice(5))
        host.process(5, start_stack=0)

        assert table.sweep() == ()

    def test_the_longest_ended_go_first_when_there_are_too_many(self, host: HostTree, table: ProcessTable) -> None:
        host.process(5)
        table.learn(host.notice(5, space=5))
        for pid in (11, 12, 13, 14):
            table.learn(host.notice(pid, space=pid))

        assert len(table) == 4
        assert [table.get(space) is not None for space in (5, 11, 12, 13, 14)] == [True, False, True, True, True]

    def test_the_longest_known_go_when_none_has_ended(self, host: HostTree, table: ProcessTable) -> None:
        for pid in (5, 6, 7, 8, 9):
            host.process(pid)
            table.learn(host.notice(pid, space=pid))

        assert len(table) == 4
        assert table.get(5) is None
        assert [(process.space, process.gone) for process in table.sweep()] == [(5, False)]

    def test_what_is_learnt_again_is_kept_once(self, host: HostTree, table: ProcessTable) -> None:
        host.process(5)
        for _ in range(3):
            table.learn(host.notice(5))

        assert len(table) == 1


FORKER = """
import os, sys
child = os.fork()
if not child:
    sys.stdin.readline()
    os._exit(0)
print(child, flush=True)
os.waitpid(child, 0)
print("ended", flush=True)
sys.stdin.read()
"""


class TestRealProcesses:
    """Against the kernel's own procfs."""

    def test_this_process(self) -> None:
        process = ProcessTable(HostRoots(), None).learn(live_notice(os.getpid()))

        assert not process.gone
        assert Path(process.executable).samefile(sys.executable)
        assert any(mapping.path.endswith("libc.so.6") for mapping in process.mappings)

    def test_an_exec_brings_a_new_service(self, tmp_path: Path) -> None:
        program = copy_of_cat(tmp_path)
        script = 'echo ready; read line; DD_SERVICE=new exec "$0"'
        table = ProcessTable(HostRoots(), None)
        environ = {"DD_SERVICE": "old", "PATH": os.environ["PATH"]}
        with Popen(["sh", "-c", script, program], stdin=PIPE, stdout=PIPE, env=environ) as shell:
            assert shell.stdin is not None
            assert shell.stdout is not None
            assert shell.stdout.readline() == b"ready\n"
            before_exec = live_notice(shell.pid, space=1)
            before = table.learn(before_exec)
            shell.stdin.write(b"go\nready\n")
            shell.stdin.flush()
            assert shell.stdout.readline() == b"ready\n"
            after = table.learn(live_notice(shell.pid, space=2))
            late = ProcessTable(HostRoots(), None).learn(before_exec)
            ended = table.sweep()
            shell.kill()

        assert (before.info.service.name, after.info.service.name) == ("old", "new")
        assert after.executable == str(program)
        assert before.mappings != after.mappings
        assert (late.gone, late.info.service.name, late.mappings) == (True, "sh", ())
        assert [process.space for process in ended] == [1]

    def test_a_fork_that_ended_before_anybody_looked(self) -> None:
        environ = {"DD_SERVICE": "shop", "PATH": os.environ["PATH"]}
        with Popen([sys.executable, "-c", FORKER], stdin=PIPE, stdout=PIPE, env=environ) as forker:
            assert forker.stdin is not None
            assert forker.stdout is not None
            notice = live_notice(int(forker.stdout.readline()))
            forker.stdin.write(b"\n")
            forker.stdin.flush()
            assert forker.stdout.readline() == b"ended\n"
            child = ProcessTable(HostRoots(), None).learn(notice)
            forker.kill()

        assert (child.gone, child.info.service, child.maps_pid) == (True, Service("shop", inferred=False), forker.pid)
        assert Path(child.executable).samefile(sys.executable)
        assert any(mapping.path.endswith("libc.so.6") for mapping in child.mappings)

    def test_a_process_that_ends(self) -> None:
        table = ProcessTable(HostRoots(), None)
        with running("cat") as child:
            process = table.learn(live_notice(child.pid))
            assert table.sweep() == ()
            child.kill()
            child.wait()

            assert table.sweep() == (replace(process, gone=True),)

    def test_a_deleted_program(self, tmp_path: Path) -> None:
        program = copy_of_cat(tmp_path)
        with running(program) as child:
            program.unlink()
            process = ProcessTable(HostRoots(), None).learn(live_notice(child.pid))

        assert (process.gone, process.executable) == (False, str(program))
        assert any(mapping.deleted and mapping.path == str(program) for mapping in process.mappings)

    def test_other_mount_and_pid_namespaces(self, tmp_path: Path) -> None:
        UNSHARE.require()
        script = 'mount -t tmpfs none "$1" && cp /bin/cat "$1/hidden" && exec "$1/hidden"'
        with running("unshare", "-m", "-p", "-f", "sh", "-c", script, "sh", tmp_path) as unshare:
            (child,) = descendants(HostRoots(), unshare.pid)
            process = ProcessTable(HostRoots(), None).learn(live_notice(child))
            mapping = own_mapping(process.pid, tmp_path / "hidden")

        assert not process.gone
        assert process.info.service.name == "hidden"
        assert mapping in process.mappings
