"""OTLP resources of processes."""

from otelprof.model.conventions import INTEGER_KEYS, STRING_KEYS
from otelprof.model.stack import Resource
from otelprof.processes.cgroups import CgroupInfo
from otelprof.processes.host import Host
from otelprof.processes.resource import ProcessInfo, build_resource
from otelprof.processes.service import Service

FULL = ProcessInfo(
    pid=42,
    service=Service("shop", inferred=False),
    creation_time="2023-11-14T22:13:20.000Z",
    executable="/opt/shop/bin/shopd",
    declared=(("service.version", "1.2"), ("deployment.environment.name", "prod"), ("team", "blue")),
    cgroup=CgroupInfo("/x", "0" * 64, "kubernetes", "5f3b1c2d-0a9b-4c8d-9e7f-001122334455", "a.service"),
    entity_id="ci-" + "0" * 64,
    command_line="shopd --port 1",
)


def test_everything_that_is_known() -> None:
    resource = build_resource(FULL, Host("node-7", "id", "amd64", "linux", "12"))

    assert dict(resource.attributes) == {
        "service.name": "shop",
        "service.version": "1.2",
        "deployment.environment.name": "prod",
        "team": "blue",
        "process.pid": 42,
        "process.executable.name": "shopd",
        "process.executable.path": "/opt/shop/bin/shopd",
        "process.creation.time": "2023-11-14T22:13:20.000Z",
        "process.command_line": "shopd --port 1",
        "container.id": "0" * 64,
        "otelprof.entity.id": "ci-" + "0" * 64,
        "k8s.pod.uid": "5f3b1c2d-0a9b-4c8d-9e7f-001122334455",
        "systemd.unit": "a.service",
        "host.name": "node-7",
        "host.id": "id",
        "host.arch": "amd64",
        "os.type": "linux",
        "os.version": "12",
    }
    assert resource.attributes[0] == ("service.name", "shop")


def test_what_is_unknown_is_not_there() -> None:
    assert build_resource(ProcessInfo(7, Service("unknown-service", inferred=True))) == Resource(
        (("service.name", "unknown-service"), ("otelprof.service.inferred", True), ("process.pid", 7))
    )


def test_what_was_seen_wins() -> None:
    liar = ProcessInfo(
        7,
        Service("x", inferred=True),
        declared=(("process.pid", "1"), ("service.name", "y"), ("otelprof.service.inferred", "no"), ("host.name", "z")),
    )

    assert dict(build_resource(liar, Host("here")).attributes) == {
        "service.name": "x",
        "otelprof.service.inferred": True,
        "process.pid": 7,
        "host.name": "here",
        "os.type": "linux",
    }


def test_values_have_the_types_of_the_conventions() -> None:
    for key, value in build_resource(FULL, Host("n", "i", "a", "linux", "1")).attributes:
        assert not (key in INTEGER_KEYS and not isinstance(value, int))
        assert not (key in STRING_KEYS and not isinstance(value, str))
