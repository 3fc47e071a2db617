"""Capabilities, one by one, with what each is for."""

from collections.abc import Iterator
from typing import NamedTuple

from otelprof.doctor.finding import Finding, Status
from otelprof.doctor.machine import Machine

__all__ = ("has_capability", "privilege_findings")

_SYS_ADMIN = 21


class _Capability(NamedTuple):
    """Number (include/uapi/linux/capability.h), name and use.

    SYS_ADMIN still implies those that were split from it: BPF and PERFMON (Linux 5.8), CHECKPOINT_RESTORE (5.9).
    """

    number: int
    name: str
    why: str
    required: bool = False
    part_of_sys_admin: bool = False


_CAPABILITIES = (
    _Capability(39, "CAP_BPF", "loads programs and makes maps", required=True, part_of_sys_admin=True),
    _Capability(38, "CAP_PERFMON", "samples every process and reads stacks", required=True, part_of_sys_admin=True),
    _Capability(19, "CAP_SYS_PTRACE", "reads mappings and environments of other users' processes"),
    _Capability(2, "CAP_DAC_READ_SEARCH", "opens executables that only their owners may read"),
    _Capability(
        40, "CAP_CHECKPOINT_RESTORE", "opens deleted and replaced files through map_files", part_of_sys_admin=True
    ),
    _Capability(34, "CAP_SYSLOG", "sees the addresses of kernel functions"),
    _Capability(7, "CAP_SETUID", "gives the process that reads executables a user id of its own"),
    _Capability(6, "CAP_SETGID", "gives the process that reads executables a group id of its own"),
)


def has_capability(machine: Machine, number: int) -> bool:
    """Tell whether this process may use a capability now."""
    return bool(machine.capabilities >> number & 1)


def privilege_findings(machine: Machine) -> Iterator[Finding]:
    """Compare the effective capabilities with those that profiling uses."""
    for capability in _CAPABILITIES:
        held = has_capability(machine, capability.number)
        instead = not held and capability.part_of_sys_admin and has_capability(machine, _SYS_ADMIN)
        if held or instead:
            found = "held, as part of CAP_SYS_ADMIN" if instead else "held"
            yield Finding("privileges", capability.name, Status.OK, found, capability.why, "", capability.required)
            continue
        yield Finding(
            "privileges",
            capability.name,
            Status.MISSING if capability.required else Status.DEGRADED,
            "not held",
            capability.why,
            f"run as root, or add {capability.name} to the service or container",
            capability.required,
        )
