"""Opening files of other processes."""

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.errors import BadInput, FileUnavailable, MissingPrivilege, OtelprofError, ProcessGone
from otelprof.processes import files
from otelprof.processes.files import open_in_root, open_mapping, stat_mapping
from otelprof.processes.mappings import ProcessMapping, parse_maps, read_mappings
from otelprof.processes.procfs import descendants
from otelprof.roots import HostRoots
from tests.gates import Gate, Missing
from tests.processes.trees import HostTree, running

LIVE = HostRoots()


def read_and_close(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)


def mapping_of(path: Path, shown: str = "/usr/bin/app", *, inode: int | None = None) -> ProcessMapping:
    return ProcessMapping(0x1000, 0x3000, 0, 0, path.stat().st_ino if inode is None else inode, shown)


class TestMapFiles:
    """With ``/proc/<pid>/map_files``."""

    def test_the_file_is_opened(self, host: HostTree) -> None:
        host.process(5)
        file = host.write("elsewhere/app", "program")
        host.link("proc/5/map_files/1000-3000", file)

        assert read_and_close(open_mapping(host.roots, 5, mapping_of(file))) == b"program"
        assert stat_mapping(host.roots, 5, mapping_of(file)).st_size == 7

    def test_another_file_in_the_same_place_is_refused(self, host: HostTree) -> None:
        host.process(5, maps="00001000-00003000 r-xp 00000000 00:00 12345 /usr/bin/other\n")
        file = host.write("elsewhere/app", "program")
        host.link("proc/5/map_files/1000-3000", file)

        with pytest.raises(FileUnavailable, match="another file than '/usr/bin/app' is now mapped at 0x1000"):
            open_mapping(host.roots, 5, mapping_of(file, inode=12344))

    def test_a_file_system_may_number_its_inodes_twice(self, host: HostTree) -> None:
        maps = "00001000-00003000 r-xp 00000000 00:00 12345 /usr/bin/app\n"
        host.process(5, maps=maps)
        host.link("proc/5/map_files/1000-3000", host.write("elsewhere/app", "program"))
        (mapping,) = parse_maps([maps.encode()]).entries

        assert read_and_close(open_mapping(host.roots, 5, mapping)) == b"program"

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
    def test_only_regular_files_are_opened(self, host: HostTree, make: "Callable[[Path], None]") -> None:
        host.process(5)
        odd = host.root / "odd"
        make(odd)
        host.link("proc/5/map_files/1000-3000", odd)

        with pytest.raises(BadInput, match="'/usr/bin/app' is not a regular file"):
            open_mapping(host.roots, 5, mapping_of(odd))

    def test_devices_are_not_even_opened(self, host: HostTree) -> None:
        host.process(5)
        host.link("proc/5/map_files/1000-3000", "/dev/null")

        with pytest.raises(BadInput):
            open_mapping(host.roots, 5, mapping_of(Path("/dev/null")))

    def test_memory_without_a_file(self, host: HostTree) -> None:
        host.process(5)

        with pytest.raises(FileUnavailable, match="no file is mapped at 0x1000 of process 5"):
            open_mapping(host.roots, 5, ProcessMapping(0x1000, 0x3000, 0, 0, 0, "[anon:x]"))


class TestByPath:
    """Without the privilege for map_files, or without a main thread."""

    def test_in_the_root_of_the_process(self, host: HostTree) -> None:
        host.link(f"{host.process(5)}/root", host.root / "container")
        file = host.write("container/usr/bin/app", "program")

        assert read_and_close(open_mapping(host.roots, 5, mapping_of(file))) == b"program"

    def test_in_the_root_of_a_living_thread(self, host: HostTree) -> None:
        host.process(5, state="Z")
        host.process(5, thread=6)
        host.link("proc/5/task/6/root", host.root / "container")
        file = host.write("container/usr/bin/app", "program")

        assert stat_mapping(host.roots, 5, mapping_of(file)).st_size == 7

    def test_in_the_root_of_the_host(self, host: HostTree) -> None:
        host.link(f"{host.process(5)}/root", host.root / "jail")
        (host.root / "jail").mkdir()
        file = host.write("usr/bin/app", "program")

        assert read_and_close(open_mapping(host.roots, 5, mapping_of(file))) == b"program"

    def test_a_replaced_file_is_another_file(self, host: HostTree) -> None:
        host.link(f"{host.process(5)}/root", host.root / "container")
        file = host.write("container/usr/bin/app", "program")

        with pytest.raises(FileUnavailable, match="'/usr/bin/app', mapped by process 5, cannot be opened"):
            open_mapping(host.roots, 5, mapping_of(file, inode=file.stat().st_ino + 1))

    def test_a_missing_privilege_is_named(self, host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
        host.process(5)
        real_open = os.open

        def refuse(path: str, *arguments: int, dir_fd: int | None = None) -> int:
            if "map_files" in str(path):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            return real_open(path, *arguments, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", refuse)

        with pytest.raises(MissingPrivilege, match="CAP_CHECKPOINT_RESTORE"):
            open_mapping(host.roots, 5, ProcessMapping(0x1000, 0x3000, 0, 0, 7, "/usr/bin/app"))

    def test_a_process_that_has_ended(self, host: HostTree) -> None:
        with pytest.raises(ProcessGone):
            open_mapping(host.roots, 5, ProcessMapping(0x1000, 0x3000, 0, 0, 7, "/usr/bin/app"))


@pytest.fixture(params=["openat2", "walk"])
def resolver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kernel's own resolution, and ours for kernels without openat2."""
    if request.param == "walk":

        def missing(*_: object) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(files, "_openat2", missing)
    return str(request.param)


@pytest.fixture
def container(host: HostTree, resolver: str) -> HostTree:
    """Process 5 with a root of its own, and a secret outside of it."""
    host.link(f"{host.process(5)}/root", host.root / "container")
    host.write("secret", "secret")
    host.write("container/usr/lib/real.debug", "debug")
    return host


class TestInRoot:
    """Paths in the root of a process, resolved by the kernel and by us."""

    @pytest.mark.parametrize(
        "path",
        [
            "/usr/lib/real.debug",
            "usr/lib/real.debug",
            "//usr/./lib//real.debug",
            "/usr/lib/../../../../usr/lib/real.debug",
        ],
    )
    def test_plain_paths(self, container: HostTree, path: str) -> None:
        assert read_and_close(open_in_root(container.roots, 5, path)) == b"debug"

    @pytest.mark.parametrize(
        ("target", "path"),
        [
            ("/usr/lib", "/link/real.debug"),
            ("usr/lib", "/link/real.debug"),
            ("../../../usr/lib", "/link/real.debug"),
            ("/usr/lib/real.debug", "/link"),
            ("/usr/lib", "/link/../lib/real.debug"),
            ("/usr/lib/real.debug", "/usr/lib/link"),
            ("real.debug", "/usr/lib/link"),
        ],
    )
    def test_links_stay_inside(self, container: HostTree, target: str, path: str) -> None:
        container.link("container/usr/lib/link" if path == "/usr/lib/link" else "container/link", target)

        assert read_and_close(open_in_root(container.roots, 5, path)) == b"debug"

    @pytest.mark.parametrize("target", ["../secret", "../../secret", "/secret", "ABSOLUTE"])
    def test_nothing_leads_out(self, container: HostTree, target: str) -> None:
        secret = container.root / "secret"
        container.link("container/link", str(secret) if target == "ABSOLUTE" else target)

        for path in ("/link", "../secret", "/../secret", str(secret)):
            with pytest.raises(FileUnavailable):
                open_in_root(container.roots, 5, path)

    def test_a_file_below_a_link_that_leads_out_is_the_inner_one(self, container: HostTree) -> None:
        container.link("container/etc", "../../etc")
        (container.root / "container/etc").unlink()
        container.write("container/etc/passwd", "inner")
        container.link("container/link", "../../../../../../etc/passwd")

        assert read_and_close(open_in_root(container.roots, 5, "/link")) == b"inner"

    def test_links_in_a_circle(self, container: HostTree) -> None:
        container.link("container/a", "b")
        container.link("container/b", "a")

        with pytest.raises(FileUnavailable):
            open_in_root(container.roots, 5, "/a")

    def test_a_path_that_goes_on_and_on(self, container: HostTree) -> None:
        with pytest.raises(FileUnavailable):
            open_in_root(container.roots, 5, "/usr/lib/../.." * 2000 + "/usr/lib/real.debug")

    @pytest.mark.parametrize("path", ["/usr/lib", "/fifo", "/", ""])
    def test_only_regular_files_are_opened(self, container: HostTree, path: str) -> None:
        os.mkfifo(container.root / "container/fifo")

        with pytest.raises((BadInput, FileUnavailable)):
            open_in_root(container.roots, 5, path)

    @pytest.mark.parametrize("path", ["/nowhere", "/usr/lib/real.debug/x", "/a\0b", "/\ud800", "/" + "x" * 300])
    def test_what_is_not_there(self, container: HostTree, path: str) -> None:
        with pytest.raises(FileUnavailable):
            open_in_root(container.roots, 5, path)


def test_no_root_without_a_process(host: HostTree) -> None:
    with pytest.raises(ProcessGone):
        open_in_root(host.roots, 5, "/x")


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b", "up", "top", "loop"]), max_size=12).map("/".join))
def test_our_walk_agrees_with_the_kernel(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    root = tmp_path_factory.getbasetemp() / "agree"
    if not root.exists():
        (root / "a/b").mkdir(parents=True)
        for link, target in (("up", "../.."), ("a/up", ".."), ("top", "/a"), ("a/b/top", "/"), ("loop", "loop")):
            (root / link).symlink_to(target)

    def resolve(how: "Callable[[int, bytes], int]") -> str | int | None:
        try:
            hold = how(folder, path.encode())
        except OSError as error:
            return error.errno
        try:
            return str(Path(f"/proc/self/fd/{hold}").readlink())
        finally:
            os.close(hold)

    folder = os.open(root, os.O_PATH)
    try:
        # An empty path is nothing to the kernel; we are never asked for one.
        assert not path or resolve(files._walk) == resolve(files._openat2)
    finally:
        os.close(folder)


def copy_of_cat(folder: Path) -> Path:
    target = folder / "copy-of-cat"
    shutil.copy("/bin/cat", target)
    return target


def own_mapping(pid: int, path: Path) -> ProcessMapping:
    (entry,) = [entry for entry in read_mappings(LIVE, pid).entries if entry.path == str(path)]
    return entry


def find_map_files() -> None:
    try:
        next(Path("/proc/self/map_files").iterdir()).stat()
    except OSError as error:
        raise Missing(f"following /proc/self/map_files needs root ({error.strerror})") from error


def find_unshare() -> None:
    find_map_files()
    if subprocess.run(["unshare", "-m", "-p", "-f", "true"], check=False, capture_output=True).returncode:
        raise Missing("unshare cannot make mount and PID namespaces here")


# The same switch as for BPF: these need root and nothing else.
MAP_FILES = Gate("kernel", find_map_files)
UNSHARE = Gate("kernel", find_unshare)


class TestRealProcesses:
    """Against the kernel's own procfs."""

    def test_a_running_program(self, tmp_path: Path) -> None:
        MAP_FILES.require()
        program = copy_of_cat(tmp_path)
        with running(program) as child:
            mapping = own_mapping(child.pid, program)

            assert stat_mapping(LIVE, child.pid, mapping).st_ino == program.stat().st_ino
            assert read_and_close(open_mapping(LIVE, child.pid, mapping)).startswith(b"\x7fELF")

    @pytest.mark.parametrize("replace", [False, True], ids=["deleted", "replaced"])
    def test_a_program_whose_file_is_gone(self, tmp_path: Path, replace: bool) -> None:
        MAP_FILES.require()
        program = copy_of_cat(tmp_path)
        inode = program.stat().st_ino
        with running(program) as child:
            if replace:
                other = tmp_path / "other"
                other.write_bytes(b"not a program")
                other.rename(program)
            else:
                program.unlink()
            mapping = own_mapping(child.pid, program)

            assert mapping.deleted
            assert stat_mapping(LIVE, child.pid, mapping).st_ino == inode
            descriptor = open_mapping(LIVE, child.pid, mapping)
            assert not stat.S_ISFIFO(os.fstat(descriptor).st_mode)
            assert read_and_close(descriptor).startswith(b"\x7fELF")

    def test_other_mount_and_pid_namespaces(self, tmp_path: Path) -> None:
        UNSHARE.require()
        script = 'mount -t tmpfs none "$1" && cp /bin/cat "$1/hidden" && echo here > "$1/file" && exec "$1/hidden"'
        hidden = tmp_path / "hidden"
        with running("unshare", "-m", "-p", "-f", "sh", "-c", script, "sh", tmp_path) as unshare:
            (child,) = descendants(LIVE, unshare.pid)
            mapping = own_mapping(child, hidden)

            assert not hidden.exists()
            assert read_and_close(open_mapping(LIVE, child, mapping)).startswith(b"\x7fELF")
            assert read_and_close(open_in_root(LIVE, child, str(tmp_path / "file"))) == b"here\n"

    def test_after_the_end(self, tmp_path: Path) -> None:
        program = copy_of_cat(tmp_path)
        with running(program) as child:
            mapping = own_mapping(child.pid, program)
            child.kill()
            child.wait()

            with pytest.raises(ProcessGone):
                open_mapping(LIVE, child.pid, mapping)


@given(st.text(max_size=30))
def test_any_path_is_opened_or_refused(path: str) -> None:
    try:
        os.close(open_in_root(LIVE, os.getpid(), path))
    except OtelprofError:
        return
