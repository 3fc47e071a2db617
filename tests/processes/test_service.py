"""Names of services."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.processes.environment import parse_environ
from otelprof.processes.service import (
    MAX_DECLARED,
    MAX_VALUE_CHARACTERS,
    Declaration,
    Service,
    executable_name,
    infer_service,
    parse_resource_attributes,
    read_declaration,
)

OTEL = "OTEL_RESOURCE_ATTRIBUTES"


@pytest.mark.parametrize(
    ("environ", "service"),
    [
        ("", ""),
        ("DD_SERVICE=dd", "dd"),
        ("OTEL_SERVICE_NAME=otel", "otel"),
        ("DD_SERVICE=dd|OTEL_SERVICE_NAME=otel", "dd"),
        ("OTEL_SERVICE_NAME=otel|DD_SERVICE=dd", "dd"),
        ("DD_SERVICE=|OTEL_SERVICE_NAME=otel", "otel"),
        ("DD_SERVICE=dd|OTEL_SERVICE_NAME=", "dd"),
        ("DD_SERVICE=|OTEL_SERVICE_NAME=", ""),
        ("DD_SERVICE=a=b=c", "a=b=c"),
        ("DD_SERVICE", ""),
        ("Dd_Service=x|dd_service=x", ""),
        ("DD_SERVICE_MAPPING=x|MY_DD_SERVICE=x", ""),
        (f"{OTEL}=service.name=attr", "attr"),
        (f"OTEL_SERVICE_NAME=otel|{OTEL}=service.name=attr", "otel"),
        (f"{OTEL}=service.name=attr|DD_SERVICE=dd", "dd"),
        (f"{OTEL}=service.name=", ""),
        (f"DD_SERVICE={'x' * (MAX_VALUE_CHARACTERS + 1)}|OTEL_SERVICE_NAME=otel", "otel"),
    ],
)
def test_declared_services(environ: str, service: str) -> None:
    assert read_declaration(parse_environ(environ.replace("|", "\0").encode())).service == service


@pytest.mark.parametrize(
    ("environment", "attributes"),
    [
        ({"DD_ENV": "prod", "DD_VERSION": "1.2"}, {"service.version": "1.2", "deployment.environment.name": "prod"}),
        (
            {OTEL: "service.version=1,service.namespace=shop,deployment.environment.name=qa,team=blue"},
            {
                "service.version": "1",
                "service.namespace": "shop",
                "deployment.environment.name": "qa",
                "team": "blue",
            },
        ),
        ({"DD_ENV": "prod", OTEL: "deployment.environment.name=qa"}, {"deployment.environment.name": "prod"}),
        (
            {OTEL: "deployment.environment=qa"},
            {"deployment.environment.name": "qa", "deployment.environment": "qa"},
        ),
        ({OTEL: "service.name=x"}, {}),
        (
            {
                OTEL: "process.pid=1,process.executable.name=x,container.id=x,host.name=x,os.type=x,k8s.pod.uid=x,"
                "otelprof.entity.id=x,telemetry.sdk.name=x,systemd.unit=x,container.name=mine,k8s.pod.name=mine"
            },
            {"container.name": "mine", "k8s.pod.name": "mine"},
        ),
    ],
)
def test_declared_attributes(environment: dict[str, str], attributes: dict[str, str]) -> None:
    assert dict(read_declaration(environment).attributes) == attributes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=1,b=2", {"a": "1", "b": "2"}),
        (" a = 1 , b = 2 ", {"a": "1", "b": "2"}),
        ("a=x%2Cy%3Dz", {"a": "x,y=z"}),
        ("a%2Eb=1", {"a.b": "1"}),
        ("a=%C3%A9", {"a": "é"}),
        ("a=%zz", {"a": "%zz"}),
        ("a=%ff", {"a": "\N{REPLACEMENT CHARACTER}"}),
        ("a=b=c", {"a": "b=c"}),
        ("novalue,=nokey,a=,b=2", {"b": "2"}),
        ("a=1,a=2", {"a": "2"}),
        ("a=1;meta=2", {"a": "1;meta=2"}),
        ("k" * 200 + "=1,b=" + "v" * 2000, {}),
    ],
)
def test_resource_attributes(text: str, expected: dict[str, str]) -> None:
    assert parse_resource_attributes(text) == expected


def test_resource_attributes_are_bounded() -> None:
    assert len(parse_resource_attributes(",".join(f"k{number}=v" for number in range(10_000)))) == MAX_DECLARED


@given(st.dictionaries(st.sampled_from(["DD_SERVICE", "DD_ENV", "OTEL_SERVICE_NAME", OTEL]), st.text(max_size=60)))
def test_any_environment_is_taken(environment: dict[str, str]) -> None:
    declaration = read_declaration(environment)

    keys = [key for key, _ in declaration.attributes]
    assert len(keys) == len(set(keys))
    assert "service.name" not in keys
    assert all(value for _, value in declaration.attributes)


def test_no_environment() -> None:
    assert read_declaration({}) == Declaration()


@pytest.mark.parametrize(
    ("executable", "comm", "name"),
    [
        ("/usr/sbin/nginx", "nginx: worker", "nginx"),
        ("/opt/my app/run me", "x", "run me"),
        ("/usr/bin/containerd-shim-runc-v2", "containerd-shim", "containerd-shim"),
        ("/usr/bin/containerd-shim-abc", "x", "containerd-shim"),
        ("/usr/bin/containerd-shim", "x", "containerd-shim"),
        ("/usr/bin/containerd", "x", "containerd"),
        ("/memfd:runc_cloned:/proc/self/exe", "runc", "runc_cloned"),
        ("/memfd:/opt/tool", "x", "tool"),
        ("", "comm", "comm"),
        ("/", "comm", "comm"),
        ("", "", "unknown-service"),
    ],
)
def test_inferred_services(executable: str, comm: str, name: str) -> None:
    assert infer_service(executable, comm) == Service(name, inferred=True)


def test_kernel_threads_are_the_system() -> None:
    assert infer_service("", "kworker/0:1", is_kernel_thread=True) == Service("system", inferred=False)


def test_an_interpreter_is_told_by_its_program() -> None:
    first, second = (
        infer_service("/usr/bin/python3.11", "python3", arguments=["python3", f"/srv/{name}.py"]) for name in "ab"
    )

    assert (first, second) == (Service("a", inferred=True), Service("b", inferred=True))


def test_another_program_is_not() -> None:
    assert infer_service("/usr/bin/cat", "cat", arguments=["cat", "/srv/a.py"]) == Service("cat", inferred=True)


@given(st.text(max_size=40), st.text(max_size=15))
def test_there_is_always_a_name(executable: str, comm: str) -> None:
    assert infer_service(executable, comm).name
    assert "/" not in executable_name(executable)
