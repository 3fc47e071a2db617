"""The few environment variables of a process that say which service it is."""

from collections.abc import Mapping

from otelprof.errors import OtelprofError
from otelprof.processes.procfs import ProcessDirectory

__all__ = ("MAX_ENVIRON_BYTES", "WANTED", "parse_environ", "read_environment")

MAX_ENVIRON_BYTES = 1 << 20
"""Bytes read of one process. The kernel allows 6 MB for arguments and environment; 128 KB is already rare."""

MAX_VALUE_BYTES = 16_384
"""A longer value is left out: it is no name of a service, and half a list of attributes would end in a wrong one."""

WANTED = ("DD_SERVICE", "DD_ENV", "DD_VERSION", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES")
"""All that is ever taken from an environment. Nothing else of it is kept, shown or logged: it holds secrets."""

_PREFIXES = tuple(f"{name}=".encode() for name in WANTED)


def parse_environ(data: bytes, *, limit_bytes: int = MAX_ENVIRON_BYTES) -> dict[str, str]:
    """Pick the wanted variables out of an ``environ`` file; the first of a name counts, as for getenv(3).

    Empty values are as good as none. Bytes that are not UTF-8 become U+FFFD.
    """
    if len(data) >= limit_bytes:
        data = data[: data.rfind(b"\0", 0, limit_bytes) + 1]
    found: dict[bytes, bytes] = {}
    for assignment in data.split(b"\0"):
        if assignment.startswith(_PREFIXES):
            name, _, value = assignment.partition(b"=")
            found.setdefault(name, value)
    return {
        name.decode(): value.decode("utf-8", "replace")
        for name, value in found.items()
        if 0 < len(value) <= MAX_VALUE_BYTES
    }


def read_environment(directory: ProcessDirectory) -> Mapping[str, str]:
    """Return the wanted variables of a process as they were at its last exec, none where they may not be read."""
    try:
        return parse_environ(directory.read("environ", MAX_ENVIRON_BYTES))
    except OtelprofError:
        return {}
