"""What is installed beside the kernel: libraries, exporters, the place for the cache."""

import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from otelprof.doctor.finding import Finding, Status
from otelprof.doctor.machine import Machine
from otelprof.errors import OtelprofError
from otelprof.pipeline.exporter import ENTRY_POINT_GROUP

__all__ = ("installation_findings",)

_TOPIC = "installation"

_SYSTEM_PYTHON = "usr/lib/python3/dist-packages"
"""Where Debian and Ubuntu put the modules of their own Python, which a virtual environment does not see."""


def installation_findings(machine: Machine) -> Iterator[Finding]:
    """Examine libraries, exporters and cache directory."""
    yield _libbpf(machine)
    yield _bcc(machine)
    yield _demangler(machine)
    yield from _exporters()
    yield _cache(machine.cache_dir)


def _libbpf(machine: Machine) -> Finding:
    why = "loads the sampler into the kernel"
    try:
        version = machine.libbpf_version()
    except OtelprofError as error:
        fix = "install libbpf1 (Debian, Ubuntu) or libbpf (Fedora, Arch)"
        return Finding(_TOPIC, "libbpf", Status.MISSING, str(error), why, fix, required=True)
    return Finding(_TOPIC, "libbpf", Status.OK, version, why, required=True)


def _bcc(machine: Machine) -> Finding:
    """Look for the module without importing it: that alone takes 64 MB.

    A project of the same name on PyPI is something else; ``libbcc.py`` tells them apart.
    """
    why = "compiles on the host where the kernel has no BTF; not needed where the sampler loads"
    paths = (*map(Path, machine.python_paths), machine.own_root / _SYSTEM_PYTHON)
    folders = [path / "bcc" for path in paths]
    right = next((folder for folder in folders if (folder / "libbcc.py").is_file()), None)
    if right and str(right.parent) in machine.python_paths:
        return Finding(_TOPIC, "bcc", Status.OK, str(right), why)
    if right:
        fix = "make the virtual environment with --system-site-packages, or set PYTHONPATH"
        return Finding(_TOPIC, "bcc", Status.MISSING, f"{right}, which this Python does not see", why, fix)
    wrong = next((folder for folder in folders if folder.is_dir()), None)
    found = f"{wrong} is another project of that name" if wrong else "not installed"
    return Finding(_TOPIC, "bcc", Status.MISSING, found, why, "install python3-bpfcc (Debian, Ubuntu) or bcc (Fedora)")


def _demangler(machine: Machine) -> Finding:
    why = "makes C++ names readable"
    if machine.demangler_available():
        return Finding(_TOPIC, "libstdc++", Status.OK, "found", why)
    return Finding(_TOPIC, "libstdc++", Status.DEGRADED, "not found", why, "install libstdc++6 (Debian, Ubuntu)")


def _exporters() -> Iterator[Finding]:
    why = "sends profiles somewhere with `otelprof run`"
    points = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)
    if not points:
        fix = "install otelprof again: it brings exporters along"
        yield Finding(_TOPIC, "exporters", Status.MISSING, "none", why, fix)
    for point in points:
        name = f"exporter {point.name}"
        try:
            point.load()
        except Exception as error:  # whatever a third party's module does when it is imported
            found = f"{point.value} cannot be imported: {type(error).__name__}: {error}"
            yield Finding(_TOPIC, name, Status.MISSING, found, why, "install it again, with what it depends on")
        else:
            yield Finding(_TOPIC, name, Status.OK, f"{point.value} loads", why)


def _cache(directory: Path) -> Finding:
    """Say whether the directory, or one to make it in, can be written; make nothing."""
    why = "keeps what was read from executables, so that the next start is quick"
    place = next(place for place in (directory, *directory.parents) if place.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        found, fix = f"{place} cannot be written", "choose another with --cache-dir"
    elif place == directory and place.stat().st_uid != os.geteuid():
        found, fix = f"{place} belongs to another user", "choose another with --cache-dir"
    else:
        return Finding(_TOPIC, "cache", Status.OK, str(directory), why)
    return Finding(_TOPIC, "cache", Status.DEGRADED, found, why, fix)
