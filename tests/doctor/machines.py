"""Hosts made up for the doctor: a tree of files and kernel calls that answer as a test wants."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from otelprof.doctor import Finding, Machine
from otelprof.doctor.bpf_calls import ProgramRefused
from otelprof.roots import HostRoots

__all__ = ("ALL_CAPABILITIES", "FakeBpf", "healthy_machine", "named", "nothing")

ALL_CAPABILITIES = (1 << 41) - 1

_RELEASE = "6.1.0-test"


@dataclass
class FakeBpf:
    """A kernel that lacks some maps and helpers, or answers every call with one code."""

    code: int = 0
    missing_helpers: frozenset[int] = frozenset()
    missing_maps: frozenset[tuple[int, int]] = frozenset()
    complaint: str = "invalid func unknown#"
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def create_map(self, kind: int, key_bytes: int, value_bytes: int, entries: int, flags: int) -> None:
        self.calls.append(("map", kind, key_bytes, value_bytes, entries, flags))
        if self.code or (kind, flags) in self.missing_maps:
            raise OSError(self.code or errno.EINVAL, "refused")

    def load_program(self, kind: int, instructions: bytes) -> None:
        self.calls.append(("program", kind, instructions))
        helper = int.from_bytes(instructions[4:8], "little")
        if instructions[0] != 0x85:
            return
        if helper in self.missing_helpers:
            raise ProgramRefused(errno.EINVAL, f"0: (85) call\n{self.complaint}{helper}\n")
        raise ProgramRefused(errno.EACCES, "0: (85) call\nR2 !read_ok\n")


def nothing() -> None:
    """A call that succeeds."""


def healthy_machine(
    root: Path,
    *,
    bpf: FakeBpf | None = None,
    capabilities: int = ALL_CAPABILITIES,
    environ: dict[str, str] | None = None,
    open_clock: Callable[[], None] = nothing,
    load_sampler: Callable[[], None] = nothing,
    libbpf_version: Callable[[], str] = lambda: "1.1",
    demangler: bool = True,
    python_paths: tuple[str, ...] = (),
) -> Machine:
    """Build the tree of a host on which everything works and return it; tests then take things away."""
    for name, content in {
        "sys/kernel/btf/vmlinux": "",
        "sys/kernel/tracing/events/sched/enable": "",
        "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
        "sys/fs/cgroup/cgroup.controllers": "cpu\n",
        "proc/sys/kernel/perf_event_paranoid": "2\n",
        "proc/sys/kernel/kptr_restrict": "1\n",
        "proc/self/status": "Name:\tx\nNSpid:\t7\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "proc/self/ns").mkdir()
    # own_pid_namespace() also wants the device of what the link names.
    (root / "proc/self/ns/pid:[4026531836]").touch()
    (root / "proc/self/ns/pid").symlink_to("pid:[4026531836]")
    (root / "var/cache").mkdir(parents=True)
    return Machine(
        roots=HostRoots(root),
        own_root=root,
        release=_RELEASE,
        environ=environ or {},
        capabilities=capabilities,
        bpf=bpf or FakeBpf(),
        open_clock=open_clock,
        load_sampler=load_sampler,
        libbpf_version=libbpf_version,
        demangler_available=lambda: demangler,
        python_paths=python_paths,
        cache_dir=root / "var/cache/otelprof",
    )


def named(findings: list[Finding], name: str) -> Finding:
    """The one finding of that name."""
    (found,) = [finding for finding in findings if finding.name == name]
    return found
