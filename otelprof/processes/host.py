"""The host's own attributes."""

from dataclasses import dataclass
from os import uname
from string import hexdigits

from otelprof.model.stack import Attributes
from otelprof.roots import HostRoots

__all__ = ("Host", "read_host")

_INITIAL_UTS_NAMESPACE = "uts:[4026531838]"
"""linux/proc_ns.h: PROC_UTS_INIT_INO, 0xEFFFFFFE."""

_MAX_FILE_BYTES = 65_536

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm32", "i686": "x86", "ppc64le": "ppc64"}
"""uname(2)'s machine to ``host.arch``; s390x and others are the same in both."""


@dataclass(frozen=True, slots=True)
class Host:
    """Attributes of the host; "" is unknown and not sent."""

    name: str = ""
    id: str = ""
    arch: str = ""
    os_type: str = "linux"
    os_version: str = ""

    @property
    def attributes(self) -> Attributes:
        """Those that are known, as resource attributes."""
        named = {
            "host.name": self.name,
            "host.id": self.id,
            "host.arch": self.arch,
            "os.type": self.os_type,
            "os.version": self.os_version,
        }
        return tuple((key, value) for key, value in named.items() if value)


def read_host(roots: HostRoots, *, machine: str | None = None) -> Host:
    """Read name, machine id, architecture (``machine`` as uname(2) gives it) and version of the distribution.

    The kernel tells the name of the reader's UTS namespace; where that is a container's, ``/etc/hostname`` of the
    host's root comes first.
    """
    names = [_first_line(roots, "proc/sys/kernel/hostname"), _first_line(roots, "etc/hostname")]
    if _link(roots, "proc/self/ns/uts") != _INITIAL_UTS_NAMESPACE:
        names.reverse()
    machine = machine or uname().machine
    return Host(
        name=names[0] or names[1],
        id=_machine_id(roots, "etc/machine-id") or _machine_id(roots, "var/lib/dbus/machine-id"),
        arch=_ARCHITECTURES.get(machine, machine),
        os_version=_distribution_version(roots) or _first_line(roots, "proc/sys/kernel/osrelease"),
    )


def _machine_id(roots: HostRoots, place: str) -> str:
    """machine-id(5): 32 hexadecimal digits, or a word while the system is being set up."""
    line = _first_line(roots, place)
    return line if len(line) == 32 and set(line) <= set(hexdigits) else ""


def _distribution_version(roots: HostRoots) -> str:
    """VERSION_ID of os-release(5)."""
    for place in ("etc/os-release", "usr/lib/os-release"):
        for line in _lines(roots, place):
            key, _, value = line.partition("=")
            if key == "VERSION_ID":
                return value.strip("\"'")
    return ""


def _first_line(roots: HostRoots, place: str) -> str:
    return next((line.strip() for line in _lines(roots, place)), "")


def _lines(roots: HostRoots, place: str) -> list[str]:
    try:
        with (roots.root / place).open("rb") as file:
            return file.read(_MAX_FILE_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _link(roots: HostRoots, place: str) -> str:
    try:
        return str((roots.root / place).readlink())
    except OSError:
        return ""
