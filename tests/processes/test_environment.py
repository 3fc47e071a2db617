"""Environments: a few wanted names, and nothing else."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.processes.environment import MAX_ENVIRON_BYTES, MAX_VALUE_BYTES, WANTED, parse_environ, read_environment
from otelprof.processes.procfs import ProcessDirectory
from otelprof.roots import HostRoots
from tests.processes.trees import HostTree, running


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", {}),
        (b"DD_SERVICE=shop\0", {"DD_SERVICE": "shop"}),
        (b"DD_SERVICE=shop", {"DD_SERVICE": "shop"}),
        (b"PATH=/bin\0DD_SERVICE=shop\0HOME=/\0", {"DD_SERVICE": "shop"}),
        (b"DD_SERVICE=a=b\0", {"DD_SERVICE": "a=b"}),
        (b"DD_SERVICE=\0", {}),
        (b"DD_SERVICE\0", {}),
        (b"dd_service=shop\0", {}),
        (b"XDD_SERVICE=shop\0DD_SERVICES=shop\0DD_SERVICE_X=y\0", {}),
        (b" DD_SERVICE=shop\0", {}),
        (b"X=\0DD_SERVICE=shop\0", {"DD_SERVICE": "shop"}),
        (b"X=DD_SERVICE=shop\0", {}),
        (b"DD_SERVICE=first\0DD_SERVICE=second\0", {"DD_SERVICE": "first"}),
        (b"DD_ENV=\xff\0", {"DD_ENV": "\N{REPLACEMENT CHARACTER}"}),
        (b"DD_ENV=two\nlines\0", {"DD_ENV": "two\nlines"}),
        (b"SECRET=x\0AWS_KEY=y\0", {}),
        (b"DD_ENV=" + b"x" * (MAX_VALUE_BYTES + 1), {}),
    ],
)
def test_variables(data: bytes, expected: dict[str, str]) -> None:
    assert parse_environ(data) == expected


def test_a_variable_that_was_cut_off_is_left_out() -> None:
    assert parse_environ(b"DD_ENV=a\0DD_VERSION=12", limit_bytes=21) == {"DD_ENV": "a"}
    assert parse_environ(b"DD_ENV=a\0DD_VERSION=12", limit_bytes=22) == {"DD_ENV": "a"}
    assert parse_environ(b"DD_ENV=a\0DD_VERSION=12", limit_bytes=23) == {"DD_ENV": "a", "DD_VERSION": "12"}


@given(
    st.one_of(st.binary(max_size=200), st.lists(st.sampled_from([*(n.encode() for n in WANTED), b"=", b"\0", b"x"])))
)
def test_any_bytes_are_taken(data: bytes | list[bytes]) -> None:
    found = parse_environ(data if isinstance(data, bytes) else b"".join(data))

    assert found.keys() <= set(WANTED)
    assert all(found.values())


def test_an_environment_that_may_not_be_read(host: HostTree) -> None:
    (host.root / host.process(5) / "environ").unlink()

    with ProcessDirectory(host.roots, 5) as directory:
        assert read_environment(directory) == {}


def test_a_huge_environment_is_read_in_part(host: HostTree) -> None:
    filler = b"X=" + b"x" * MAX_ENVIRON_BYTES + b"\0"
    host.write(f"{host.process(5)}/environ", b"DD_ENV=near\0" + filler + b"DD_VERSION=far\0")

    with ProcessDirectory(host.roots, 5) as directory:
        assert read_environment(directory) == {"DD_ENV": "near"}


def test_a_real_environment() -> None:
    environ = {"DD_SERVICE": "shop", "OTEL_RESOURCE_ATTRIBUTES": "a=b", "PATH": os.environ["PATH"], "SECRET": "x"}
    with running("cat", environ=environ) as child, ProcessDirectory(HostRoots(), child.pid) as directory:
        assert read_environment(directory) == {"DD_SERVICE": "shop", "OTEL_RESOURCE_ATTRIBUTES": "a=b"}
