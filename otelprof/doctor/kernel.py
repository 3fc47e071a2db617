"""The kernel: its release, its description of its own types, and the settings that hide things."""

from collections.abc import Iterator
from pathlib import Path

from otelprof.doctor.finding import Finding, Status
from otelprof.doctor.machine import Machine
from otelprof.doctor.privileges import has_capability
from otelprof.errors import OtelprofError

__all__ = ("kernel_findings",)

_TOPIC = "kernel"

_CAP_SYSLOG = 34  # include/uapi/linux/capability.h

_MAX_SETTING_BYTES = 4096


def kernel_findings(machine: Machine) -> Iterator[Finding]:
    """Examine what needs no privilege to be seen, and the sampling clock."""
    yield Finding(_TOPIC, "release", Status.OK, machine.release, "tells which kernel all below is about")
    yield _btf(machine)
    yield _clock(machine)
    yield _kernel_addresses(machine)
    yield _lockdown(machine)
    yield _tracefs(machine)


def _btf(machine: Machine) -> Finding:
    why = "the sampler is fitted to the kernel's own types when it is loaded"
    live = machine.own_root / "sys/kernel/btf/vmlinux"
    if live.exists():
        return Finding(_TOPIC, "BTF", Status.OK, str(live), why, required=True)
    elsewhere = [path for path in _btf_files(machine) if path.exists()]
    tried = ", ".join(map(str, (live, *_btf_files(machine))))
    return Finding(
        _TOPIC,
        "BTF",
        Status.MISSING,
        f"only in {elsewhere[0]}, which is not used" if elsewhere else f"none of {tried} exists",
        why,
        "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; in a container, mount the host's /sys",
        required=True,
    )


def _btf_files(machine: Machine) -> tuple[Path, ...]:
    """List where distributions keep a kernel image with types; libbpf looks in the same places."""
    root, release = machine.own_root, machine.release
    return (
        root / f"boot/vmlinux-{release}",
        root / f"lib/modules/{release}/vmlinux-{release}",
        root / f"lib/modules/{release}/build/vmlinux",
        root / f"usr/lib/debug/boot/vmlinux-{release}",
        root / f"usr/lib/debug/lib/modules/{release}/vmlinux",
    )


def _clock(machine: Machine) -> Finding:
    why = "the perf event whose ticks are the samples"
    paranoid = _setting(machine, "perf_event_paranoid")
    try:
        machine.open_clock()
    except (OtelprofError, OSError) as error:
        return Finding(
            _TOPIC,
            "cpu-clock",
            Status.MISSING,
            f"{error} (kernel.perf_event_paranoid is {paranoid or 'unknown'})",
            why,
            "run as root or with CAP_PERFMON; in a container allow perf_event_open in its seccomp profile",
            required=True,
        )
    found = f"opens (kernel.perf_event_paranoid is {paranoid or 'unknown'})"
    return Finding(_TOPIC, "cpu-clock", Status.OK, found, why, required=True)


def _kernel_addresses(machine: Machine) -> Finding:
    """Follow kallsyms_show_value() of kernel/ksyms_common.c."""
    why = "names kernel functions, through /proc/kallsyms"
    restrict = _setting(machine, "kptr_restrict")
    paranoid = _setting(machine, "perf_event_paranoid")
    public = restrict == "0" and paranoid.lstrip("-").isdigit() and int(paranoid) <= 1
    privileged = restrict in {"0", "1"} and has_capability(machine, _CAP_SYSLOG)
    if public or privileged:
        return Finding(_TOPIC, "kernel addresses", Status.OK, f"shown (kernel.kptr_restrict is {restrict})", why)
    return Finding(
        _TOPIC,
        "kernel addresses",
        Status.DEGRADED,
        f"hidden (kernel.kptr_restrict is {restrict or 'unknown'})",
        why,
        "run as root or with CAP_SYSLOG" if restrict in {"0", "1"} else "sysctl kernel.kptr_restrict=1",
    )


def _lockdown(machine: Machine) -> Finding:
    why = "in confidentiality mode the kernel keeps BPF from reading its memory"
    text = _text(machine.roots.sys / "kernel/security/lockdown")
    mode = text.partition("[")[2].partition("]")[0] or "none"
    if mode != "confidentiality":
        return Finding(_TOPIC, "lockdown", Status.OK, mode, why)
    fix = "boot with lockdown=integrity or none if the sampler is refused below"
    return Finding(_TOPIC, "lockdown", Status.DEGRADED, mode, why, fix)


def _tracefs(machine: Machine) -> Finding:
    why = "lists tracepoints and probes; sampling does not need it"
    places = (machine.roots.sys / "kernel/tracing", machine.roots.sys / "kernel/debug/tracing")
    mounted = next((place for place in places if (place / "events").is_dir()), None)
    return Finding(_TOPIC, "tracefs", Status.OK, str(mounted) if mounted else "not mounted", why)


def _setting(machine: Machine, name: str) -> str:
    return _text(machine.roots.proc / "sys/kernel" / name)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SETTING_BYTES).decode("ascii", "replace").strip()
    except OSError:
        return ""
