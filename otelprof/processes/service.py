"""Which service a process is, and what else it declares of itself in its environment."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from otelprof.model.stack import Attributes
from otelprof.processes.command_line import program_of

__all__ = (
    "Declaration",
    "Service",
    "executable_name",
    "infer_service",
    "parse_resource_attributes",
    "read_declaration",
)

MAX_DECLARED = 64
"""Resource attributes taken from one process."""

MAX_KEY_CHARACTERS = 128
MAX_VALUE_CHARACTERS = 1024
"""Longer ones are left out, not cut: half a value is a wrong value."""

_OBSERVED = re.compile(
    r"(?:process|host|os|otelprof|systemd|telemetry|profile|thread|cpu)\..*|container\.id|k8s\.pod\.uid"
)


@dataclass(frozen=True, slots=True)
class Service:
    """A service name, and whether it was inferred because the process declares none."""

    name: str
    inferred: bool


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a process says of itself: its service, "" if it does not say, and further resource attributes."""

    service: str = ""
    attributes: Attributes = ()


def read_declaration(environment: Mapping[str, str]) -> Declaration:
    """Read Datadog's and OpenTelemetry's variables; the more specific ones win, Datadog's over OpenTelemetry's.

    The service is ``DD_SERVICE``, else ``OTEL_SERVICE_NAME``, else ``service.name`` in ``OTEL_RESOURCE_ATTRIBUTES``.
    ``DD_ENV`` and ``DD_VERSION`` give ``deployment.environment.name`` and ``service.version``; the former is also taken
    from ``deployment.environment``, its older name.

    Left out is what the profiler sees for itself (``process.*``, ``host.*``, ``os.*``, ``container.id``,
    ``k8s.pod.uid`` …): a process cannot claim to be another one, or in another place; and ``telemetry.*``, which
    describes who made the data, and that is not the process's SDK.
    """
    declared = parse_resource_attributes(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    plain = {name: value for name, value in environment.items() if len(value) <= MAX_VALUE_CHARACTERS}
    service = plain.get("DD_SERVICE") or plain.get("OTEL_SERVICE_NAME") or declared.get("service.name", "")
    found = {
        "service.version": plain.get("DD_VERSION") or declared.get("service.version"),
        "service.namespace": declared.get("service.namespace"),
        "deployment.environment.name": plain.get("DD_ENV")
        or declared.get("deployment.environment.name")
        or declared.get("deployment.environment"),
    }
    found |= {key: value for key, value in declared.items() if key not in found and key != "service.name"}
    return Declaration(
        service, tuple((key, value) for key, value in found.items() if value and not _OBSERVED.fullmatch(key))
    )


def parse_resource_attributes(text: str) -> dict[str, str]:
    """Take ``OTEL_RESOURCE_ATTRIBUTES`` apart: ``key=value`` pairs between commas, percent-encoded.

    Other than the specification of the variable wants, one malformed pair does not void the others: the process's own
    SDK may be as lenient, and then its spans bear the names that are looked for here.
    """
    found: dict[str, str] = {}
    for pair in text.split(","):
        raw_key, _, raw_value = pair.partition("=")
        key, value = unquote(raw_key.strip()), unquote(raw_value.strip())
        if 0 < len(key) <= MAX_KEY_CHARACTERS and 0 < len(value) <= MAX_VALUE_CHARACTERS:
            found[key] = value
        if len(found) >= MAX_DECLARED:
            break
    return found


def infer_service(
    executable: str, comm: str, *, is_kernel_thread: bool = False, arguments: Sequence[str] = ()
) -> Service:
    """Name the service of a process that declares none.

    A kernel thread is ``system``, which does not count as inferred: nobody could declare another name. Else it is the
    program that an interpreter runs, if its ``arguments`` are given; the base name of the ``executable``'s path;
    ``comm``; or ``unknown-service``. containerd's shims are all ``containerd-shim``: each bears an id of its own.
    """
    if is_kernel_thread:
        return Service("system", inferred=False)
    name = executable_name(executable)
    if name.startswith("containerd-shim-"):
        return Service("containerd-shim", inferred=True)
    return Service(program_of(name, arguments) or name or comm or "unknown-service", inferred=True)


def executable_name(path: str) -> str:
    """Return the base name of an executable's path, of one in memory (``/memfd:NAME:…``) the name it was given."""
    if path.startswith("/memfd:"):
        path = path.removeprefix("/memfd:").partition(":")[0]
    return path.rpartition("/")[2]
