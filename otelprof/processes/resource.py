"""The OTLP resource of a process: the attributes that every exporter and backend may rely on."""

from dataclasses import dataclass, field

from otelprof.model.stack import Attributes, AttributeValue, Resource
from otelprof.processes.cgroups import CgroupInfo
from otelprof.processes.host import Host
from otelprof.processes.service import Service, executable_name

__all__ = ("ProcessInfo", "build_resource")


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """What is known of a process; "" is unknown.

    ``executable`` is the path as the process's mount namespace names it, without the mark of a deleted one.
    ``creation_time`` is ISO 8601. ``declared`` are resource attributes from the process's environment.
    ``entity_id`` is by what Datadog's Agent knows the container: ``ci-<id>`` or ``in-<cgroup inode>``.
    """

    pid: int
    service: Service
    creation_time: str = ""
    executable: str = ""
    declared: Attributes = ()
    cgroup: CgroupInfo = field(default_factory=CgroupInfo)
    entity_id: str = ""
    command_line: str = ""


def build_resource(info: ProcessInfo, host: Host | None = None) -> Resource:
    """Return the resource attributes of a process, and of its host where given; nothing unknown is among them.

    Keys are unique: what a process declares never hides what was seen of it.
    """
    service: dict[str, AttributeValue] = {"service.name": info.service.name}
    if info.service.inferred:
        service["otelprof.service.inferred"] = True
    observed: dict[str, AttributeValue] = {
        "process.pid": info.pid,
        "process.executable.name": executable_name(info.executable),
        "process.executable.path": info.executable,
        "process.creation.time": info.creation_time,
        "process.command_line": info.command_line,
        "container.id": info.cgroup.container_id,
        "otelprof.entity.id": info.entity_id,
        "k8s.pod.uid": info.cgroup.pod_uid,
        "systemd.unit": info.cgroup.systemd_unit,
        **dict(host.attributes if host is not None else ()),
    }
    known = {key: value for key, value in observed.items() if value != ""}
    return Resource(tuple({**service, **dict(info.declared), **service, **known}.items()))
