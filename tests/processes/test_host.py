"""Attributes of the host."""

import os
import socket

import pytest

from otelprof.processes.host import Host, read_host
from otelprof.roots import HostRoots
from tests.processes.trees import HostTree

INITIAL_UTS = "uts:[4026531838]"
MACHINE_ID = "0123456789abcdef0123456789abcdef"


def test_everything(host: HostTree) -> None:
    host.link("proc/self/ns/uts", INITIAL_UTS)
    host.write("proc/sys/kernel/hostname", "node-7\n")
    host.write("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n")
    host.write("etc/hostname", "stale\n")
    host.write("etc/machine-id", f"{MACHINE_ID}\n")
    host.write("etc/os-release", 'NAME="Debian"\nVERSION_ID="12"\n')

    read = read_host(host.roots, machine="x86_64")

    assert read == Host("node-7", MACHINE_ID, "amd64", "linux", "12")
    assert read.attributes == (
        ("host.name", "node-7"),
        ("host.id", MACHINE_ID),
        ("host.arch", "amd64"),
        ("os.type", "linux"),
        ("os.version", "12"),
    )


def test_a_container_has_a_name_of_its_own(host: HostTree) -> None:
    host.link("proc/self/ns/uts", "uts:[4026532999]")
    host.write("proc/sys/kernel/hostname", "pod-x\n")
    assert read_host(host.roots).name == "pod-x"

    host.write("etc/hostname", "node-7\n")
    assert read_host(host.roots).name == "node-7"


@pytest.mark.parametrize("content", ["", "\n", "uninitialized\n", "x" * 32, MACHINE_ID[:-1]])
def test_a_machine_id_is_one_or_none(host: HostTree, content: str) -> None:
    host.write("etc/machine-id", content)
    assert read_host(host.roots).id == ""

    host.write("var/lib/dbus/machine-id", MACHINE_ID)
    assert read_host(host.roots).id == MACHINE_ID


@pytest.mark.parametrize(
    ("line", "version"), [("VERSION_ID=40", "40"), ("VERSION_ID='3.19.1'", "3.19.1"), ("", "6.1.0")]
)
def test_the_version_is_the_distributions_else_the_kernels(host: HostTree, line: str, version: str) -> None:
    host.write("proc/sys/kernel/osrelease", "6.1.0\n")
    host.write("usr/lib/os-release", f"ID=x\n{line}\n")

    assert read_host(host.roots).os_version == version


@pytest.mark.parametrize(
    ("machine", "arch"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("s390x", "s390x"), ("riscv64", "riscv64")]
)
def test_architectures(host: HostTree, machine: str, arch: str) -> None:
    assert read_host(host.roots, machine=machine).arch == arch


def test_an_empty_tree(host: HostTree) -> None:
    assert read_host(host.roots, machine="x86_64").attributes == (("host.arch", "amd64"), ("os.type", "linux"))


def test_bytes_that_are_not_text(host: HostTree) -> None:
    host.write("etc/hostname", b"\xff\xfe\n")
    host.write("etc/os-release", b"VERSION_ID=\xff\n")

    assert read_host(host.roots).name == "\N{REPLACEMENT CHARACTER}" * 2


def test_this_host() -> None:
    host = read_host(HostRoots())

    assert host.name == socket.gethostname()
    assert host.arch == {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
