"""Trees of files that look like a host, and notices about the processes in them or about real ones."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

from otelprof.processes.procfs import ProcessDirectory
from otelprof.roots import HostRoots
from otelprof.sampler.records import Notice

__all__ = ("HOST_CGROUP_NAMESPACE", "HostTree", "live_notice", "open_descriptors", "running", "stat_line")

HOST_CGROUP_NAMESPACE = 0xEFFFFFFB
PF_KTHREAD = 0x00200000
TICK_NS = 10_000_000


def stat_line(
    pid: int,
    comm: bytes = b"app",
    *,
    state: str = "S",
    parent_pid: int = 1,
    kernel_thread: bool = False,
    start_ticks: int = 1000,
    start_stack: int = 0x7FFC_0000_1000,
) -> bytes:
    """A line as ``/proc/<pid>/stat`` has it, 52 fields."""
    flags = PF_KTHREAD if kernel_thread else 0x400000
    before = [state, parent_pid, pid, pid, 0, -1, flags, *[0] * 12]
    between = [4096000, 300, 2**64 - 1, 0x400000, 0x500000]
    after = [0] * 24
    fields = " ".join(str(field) for field in [*before, start_ticks, *between, start_stack, *after])
    return b"%d (%s) %s\n" % (pid, comm, fields.encode())


@dataclass(frozen=True)
class HostTree:
    """A host below a temporary folder."""

    root: Path

    @property
    def roots(self) -> HostRoots:
        return HostRoots(self.root)

    def write(self, place: str, content: bytes | str) -> Path:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def link(self, place: str, target: str | Path) -> Path:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        return path

    def boot(self, boot_time_s: int = 1_700_000_000) -> None:
        self.write("proc/stat", f"cpu 1 2 3\nbtime {boot_time_s}\nprocesses 5\n")

    def process(
        self,
        pid: int,
        comm: bytes = b"app",
        *,
        thread: int | None = None,
        executable: str | None = "/usr/bin/app",
        environ: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        cgroup: str = "0::/\n",
        cgroup_namespace: int = HOST_CGROUP_NAMESPACE,
        maps: str = "",
        state: str = "S",
        parent_pid: int = 1,
        kernel_thread: bool = False,
        start_ticks: int = 1000,
        start_stack: int = 0x7FFC_0000_1000,
    ) -> str:
        """Write a process, or with ``thread`` one of its threads; return its folder."""
        folder = f"proc/{pid}" if thread is None else f"proc/{pid}/task/{thread}"
        line = stat_line(
            pid if thread is None else thread,
            comm,
            state=state,
            parent_pid=parent_pid,
            kernel_thread=kernel_thread,
            start_ticks=start_ticks,
            start_stack=start_stack,
        )
        self.write(f"{folder}/stat", line)
        self.write(f"{folder}/cgroup", cgroup)
        self.write(f"{folder}/maps", maps)
        self.write(f"{folder}/environ", "".join(f"{key}={value}\0" for key, value in (environ or {}).items()))
        self.write(f"{folder}/cmdline", "".join(f"{argument}\0" for argument in arguments))
        self.link(f"{folder}/ns/cgroup", f"cgroup:[{cgroup_namespace}]")
        if executable is not None:
            self.execute(folder, executable)
        return folder

    def execute(self, folder: str, executable: str) -> None:
        """Let the ``exe`` link of a process lead to a file of that path below ``files``."""
        self.link(f"{folder}/exe", self.write(f"files{executable}", executable))

    def notice(self, pid: int, space: int = 1, **changes: int | str) -> Notice:
        """A notice that fits a process written with the defaults of :meth:`process`."""
        executable = self.root / f"proc/{pid}/exe"
        values: dict[str, int | str] = {
            "space": space,
            "pid": pid,
            "tid": pid,
            "parent_pid": 1,
            "start_ns": 1000 * TICK_NS + 4_321,
            "start_stack": 0x7FFC_0000_1000,
            "executable_inode": executable.stat().st_ino if executable.exists() else 0,
            "cgroup_id": 0,
            "comm": "app",
        }
        return Notice(**(values | changes))  # type: ignore[arg-type]


def live_notice(pid: int, space: int = 1, **changes: int | str) -> Notice:
    """A notice about a real process, as it is now."""
    with ProcessDirectory(HostRoots(), pid) as directory:
        stat = directory.at_open
        values: dict[str, int | str] = {
            "space": space,
            "pid": pid,
            "tid": pid,
            "parent_pid": stat.parent_pid,
            "start_ns": stat.start_ticks * TICK_NS + 4_321,
            "start_stack": stat.start_stack,
            "executable_inode": directory.inode("exe"),
            "cgroup_id": 0,
            "comm": stat.comm,
        }
    return Notice(**(values | changes))  # type: ignore[arg-type]


@contextmanager
def running(*command: str | Path, environ: Mapping[str, str] | None = None) -> "Iterator[Popen[bytes]]":
    """Run a program that copies its input to its output, such as cat, and wait until it does."""
    with Popen(command, stdin=PIPE, stdout=PIPE, env=environ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(b"ready\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def open_descriptors() -> set[str]:
    """What this process has open."""
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.exists()}
