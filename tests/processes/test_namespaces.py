"""otelprof's own PID namespace."""

import os
from pathlib import Path

import pytest

from otelprof.errors import EnvironmentFailure
from otelprof.processes.namespaces import own_pid_namespace
from otelprof.roots import HostRoots
from tests.processes.trees import HostTree


def namespace(host: HostTree, link: str, pids: str) -> None:
    host.write(f"proc/self/ns/{link}", "")
    host.link("proc/self/ns/pid", link)
    host.write("proc/self/status", f"Name:\tx\nNStgid:\t{pids}\nNSpid:\t{pids}\nNSsid:\t1\n")


def test_on_the_host(host: HostTree) -> None:
    namespace(host, "pid:[4026531836]", "812")
    own = own_pid_namespace(host.roots)

    assert (own.inode, own.level, own.is_initial) == (4026531836, 0, True)
    assert own.device == host.root.stat().st_dev


def test_in_a_container(host: HostTree) -> None:
    namespace(host, "pid:[4026532601]", "1")
    own = own_pid_namespace(host.roots)

    assert (own.inode, own.level, own.is_initial) == (4026532601, 0, False)


def test_in_a_container_that_sees_the_hosts_procfs(host: HostTree) -> None:
    namespace(host, "pid:[4026532601]", "8123\t45\t1")

    assert own_pid_namespace(host.roots).level == 2


@pytest.mark.parametrize("link", ["pid:[x]", ""])
def test_no_procfs(host: HostTree, link: str) -> None:
    if link:
        namespace(host, link, "1")

    with pytest.raises(EnvironmentFailure, match="mount procfs there"):
        own_pid_namespace(host.roots)


def test_this_process() -> None:
    own = own_pid_namespace(HostRoots())
    stat = Path("/proc/self/ns/pid").stat()

    assert (own.device, own.inode) == (stat.st_dev, stat.st_ino)
    assert str(Path("/proc/self").readlink()) == str(os.getpid())
