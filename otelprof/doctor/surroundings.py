"""Where otelprof runs: on the host or in a container, and how much of the host it sees from there."""

from collections.abc import Iterator

from otelprof.doctor.finding import Finding, Status
from otelprof.doctor.machine import Machine
from otelprof.errors import OtelprofError
from otelprof.processes.namespaces import own_pid_namespace

__all__ = ("surroundings_findings",)

_TOPIC = "surroundings"


def surroundings_findings(machine: Machine) -> Iterator[Finding]:
    """Examine container, PID namespace and cgroups."""
    yield Finding(_TOPIC, "container", Status.OK, _container(machine), "tells where the fixes here belong")
    yield _pid_namespace(machine)
    yield _cgroups(machine)


def _container(machine: Machine) -> str:
    """Recognise a container by what its runtime leaves in it."""
    if "KUBERNETES_SERVICE_HOST" in machine.environ:
        return "in a Kubernetes pod"
    if (machine.own_root / ".dockerenv").exists():
        return "in a Docker container"
    if (machine.own_root / "run/.containerenv").exists():
        return "in a Podman container"
    if kind := machine.environ.get("container"):  # systemd's container interface
        return f"in a container ({kind})"
    return "none: directly on the host"


def _pid_namespace(machine: Machine) -> Finding:
    why = "processes outside of the own PID namespace cannot be seen"
    try:
        namespace = own_pid_namespace(machine.roots)
    except OtelprofError as error:
        fix = "mount procfs, or name the place with --host-root"
        return Finding(_TOPIC, "PID namespace", Status.MISSING, str(error), why, fix, required=True)
    if namespace.is_initial:
        return Finding(_TOPIC, "PID namespace", Status.OK, "the host's", why)
    return Finding(
        _TOPIC,
        "PID namespace",
        Status.DEGRADED,
        "one of its own",
        why,
        "share the host's: docker run --pid=host, or hostPID: true in a pod",
    )


def _cgroups(machine: Machine) -> Finding:
    """Tell the versions apart by the control files of the second (cgroups(7))."""
    why = "container and pod of a process are read from its cgroup"
    mount = machine.roots.sys / "fs/cgroup"
    if (mount / "cgroup.controllers").exists():
        return Finding(_TOPIC, "cgroups", Status.OK, "version 2", why)
    fix = "boot with systemd.unified_cgroup_hierarchy=1 if containers of short processes are not told"
    if (mount / "unified/cgroup.controllers").exists():
        return Finding(_TOPIC, "cgroups", Status.DEGRADED, "versions 1 and 2 side by side", why, fix)
    if mount.is_dir() and any(mount.iterdir()):
        return Finding(_TOPIC, "cgroups", Status.DEGRADED, "version 1", why, fix)
    return Finding(
        _TOPIC, "cgroups", Status.DEGRADED, "not mounted", why, f"mount the host's /sys/fs/cgroup on {mount}"
    )
