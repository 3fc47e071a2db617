"""Control groups by inode number."""

import errno
import os
from pathlib import Path

import pytest

from otelprof.processes import cgroup_tree
from otelprof.processes.cgroup_tree import CgroupTree
from otelprof.processes.procfs import ProcessDirectory
from otelprof.roots import HostRoots
from tests.processes.trees import HOST_CGROUP_NAMESPACE, HostTree

SECOND_NS = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def group(host: HostTree, path: str, mount: str = "sys/fs/cgroup") -> int:
    folder = host.root / f"{mount}{path}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").touch()
    return folder.stat().st_ino


@pytest.mark.parametrize("mount", ["sys/fs/cgroup", "sys/fs/cgroup/unified"])
def test_paths_by_id(host: HostTree, mount: str) -> None:
    root = group(host, "", mount)
    nested = group(host, "/system.slice/a.service", mount)
    tree = CgroupTree(host.roots, clock=Clock())

    assert (tree.path(root), tree.path(nested)) == ("/", "/system.slice/a.service")


def test_an_unknown_id_is_looked_for_now_and_then(host: HostTree) -> None:
    clock = Clock()
    group(host, "")
    tree = CgroupTree(host.roots, clock=clock)
    assert tree.path(1 << 40) is None
    late = group(host, "/late")

    clock.now_ns = 4 * SECOND_NS
    assert tree.path(late) is None
    clock.now_ns = 5 * SECOND_NS
    assert tree.path(late) == "/late"


def test_a_removed_group_stays_known(host: HostTree) -> None:
    clock = Clock()
    group(host, "")
    short = group(host, "/short")
    tree = CgroupTree(host.roots, clock=clock)
    assert tree.path(short) == "/short"

    (host.root / "sys/fs/cgroup/short").rename(host.root / "removed")
    clock.now_ns = 10 * SECOND_NS
    assert tree.path(1 << 40) is None
    assert tree.path(short) == "/short"


def test_the_longest_known_are_forgotten_first(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup_tree, "_MAX_FOLDERS", 2)
    group(host, "")
    first, second, third = (group(host, f"/{number}") for number in range(3))
    tree = CgroupTree(host.roots, clock=Clock())
    tree.path(0)
    for number, cgroup_id in enumerate((first, second, third)):
        tree.remember(cgroup_id, f"0::/{number}\n".encode())

    # The scan for an unknown id would find them again.
    (host.root / "sys/fs/cgroup").rename(host.root / "sys/fs/elsewhere")
    assert [tree.path(cgroup_id) for cgroup_id in (second, third, first)] == ["/1", "/2", None]


def test_a_path_is_noted_only_for_its_own_id(host: HostTree) -> None:
    """A process may have moved to another group between the sample and the look at it."""
    before = group(host, "/before")
    group(host, "/after")
    tree = CgroupTree(host.roots, clock=Clock())

    tree.remember(before, b"0::/after\n")

    assert tree.path(before) == "/before"


def test_no_control_groups(host: HostTree) -> None:
    assert CgroupTree(host.roots, clock=Clock()).path(7) is None


def test_a_group_that_vanishes_while_it_is_scanned(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    group(host, "/gone")
    there = group(host, "/there")
    scandir = os.scandir

    def vanish(path: str) -> object:
        if path.endswith("/gone"):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanish)

    assert CgroupTree(host.roots, clock=Clock()).path(there) == "/there"


def test_the_host_itself() -> None:
    mounts = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")]
    mount = next(path for path in mounts if (path / "cgroup.procs").exists())

    assert CgroupTree(HostRoots()).path(mount.stat().st_ino) == "/"


def entity(host: HostTree, cgroup: str, container_id: str = "", namespace: int = HOST_CGROUP_NAMESPACE + 5) -> str:
    host.process(5, cgroup=cgroup, cgroup_namespace=namespace)
    with ProcessDirectory(host.roots, 5) as directory:
        return CgroupTree(host.roots).entity_id(directory, directory.read("cgroup", 10_000), container_id)


BOTH = "3:cpu,memory:/box\n1:name=systemd:/\n0::/box2\n"


def test_the_entity_of_a_container_is_its_id(host: HostTree) -> None:
    group(host, "/box", "sys/fs/cgroup/memory")

    assert entity(host, BOTH, "abc") == "ci-abc"
    assert entity(host, BOTH, "abc", HOST_CGROUP_NAMESPACE) == "ci-abc"


def test_the_entity_of_another_namespace_is_an_inode_v1_first(host: HostTree) -> None:
    v1 = group(host, "/box", "sys/fs/cgroup/memory")
    group(host, "", "sys/fs/cgroup/unified")
    group(host, "/box2", "sys/fs/cgroup/unified")

    assert entity(host, BOTH) == f"in-{v1}"


@pytest.mark.parametrize("mount", ["sys/fs/cgroup/unified", "sys/fs/cgroup"])
def test_the_entity_of_another_namespace_is_an_inode_then_v2(host: HostTree, mount: str) -> None:
    group(host, "", mount)
    v2 = group(host, "/box2", mount)

    assert entity(host, BOTH) == f"in-{v2}"
    assert entity(host, "0::/box2\n") == f"in-{v2}"


def test_processes_of_the_host_have_no_entity(host: HostTree) -> None:
    group(host, "/box", "sys/fs/cgroup/memory")

    assert entity(host, BOTH, namespace=HOST_CGROUP_NAMESPACE) == ""


def test_no_entity_without_a_group_to_look_at(host: HostTree) -> None:
    group(host, "")
    group(host, "/../other")

    assert entity(host, BOTH) == ""
    assert entity(host, "0::/../other\n") == ""
    assert entity(host, "") == ""


def test_no_entity_where_the_namespace_is_hidden(host: HostTree) -> None:
    group(host, "/box", "sys/fs/cgroup/memory")
    host.process(5, cgroup=BOTH)
    (host.root / "proc/5/ns/cgroup").unlink()

    with ProcessDirectory(host.roots, 5) as directory:
        assert CgroupTree(host.roots).entity_id(directory, BOTH.encode(), "") == ""
