"""What the kernel's BPF can do: tried, never concluded from a version, since distributions backport."""

import errno
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from otelprof.doctor.bpf_calls import BpfCalls, ProgramRefused
from otelprof.doctor.finding import Finding, Status
from otelprof.doctor.machine import Machine
from otelprof.errors import OtelprofError

__all__ = ("FEATURES", "Feature", "bpf_findings", "helper_exists")

_TOPIC = "BPF"

# include/uapi/linux/bpf.h
_MAP_ARRAY = 2
_MAP_RINGBUF = 27
_FLAG_MMAPABLE = 1 << 10
_PROGRAM_PERF_EVENT = 7
_CALL = b"\x85\x00\x00\x00"
_RETURN_0 = b"\xb7\x00\x00\x00\x00\x00\x00\x00"
_EXIT = b"\x95\x00\x00\x00\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of the kernel, the release that brought it, what it is for, and how to try it.

    ``probe`` raises OSError where the feature is absent.
    """

    name: str
    since: str
    why: str
    probe: Callable[[BpfCalls], None]
    required: bool = True


def helper_exists(number: int, bpf: BpfCalls) -> None:
    """Call a helper without arguments in a perf_event program; raises OSError if the kernel does not know it.

    The verifier refuses the program anyway, for its arguments; it is its complaint that tells.
    """
    try:
        bpf.load_program(_PROGRAM_PERF_EVENT, _CALL + number.to_bytes(4, "little") + _EXIT)
    except ProgramRefused as refused:
        # "invalid func unknown#9999", since Linux 6.8 "program of this type cannot use helper bpf_x#9".
        unknown = ("invalid func", "unknown func", "cannot use helper")
        if not refused.log or any(complaint in refused.log for complaint in unknown):
            raise


def _array(bpf: BpfCalls) -> None:
    bpf.create_map(_MAP_ARRAY, 4, 8, 1, 0)


def _perf_event_program(bpf: BpfCalls) -> None:
    bpf.load_program(_PROGRAM_PERF_EVENT, _RETURN_0 + _EXIT)


def _mmapable_array(bpf: BpfCalls) -> None:
    bpf.create_map(_MAP_ARRAY, 4, 8, 1, _FLAG_MMAPABLE)


def _ring_buffer(bpf: BpfCalls) -> None:
    bpf.create_map(_MAP_RINGBUF, 0, 0, mmap.PAGESIZE, 0)


FEATURES = (
    Feature("perf_event programs", "4.9", "the sampler is such a program", _perf_event_program),
    Feature("bpf_get_stack", "4.18", "walks kernel stacks", partial(helper_exists, 67)),
    Feature(
        "mmapable arrays", "5.5", "tell the kernel side about mappings without a system call each", _mmapable_array
    ),
    Feature("bpf_probe_read_user", "5.5", "reads user stacks", partial(helper_exists, 112)),
    Feature(
        "bpf_get_ns_current_pid_tgid",
        "5.7",
        "translates process ids when otelprof runs in a PID namespace",
        partial(helper_exists, 120),
        required=False,
    ),
    Feature("ring buffer", "5.8", "hands samples to user space", _ring_buffer),
    Feature(
        "bpf_get_current_task_btf", "5.11", "tells processes and their programs apart", partial(helper_exists, 158)
    ),
    Feature(
        "bpf_task_pt_regs", "5.15", "finds the user stack of a thread inside the kernel", partial(helper_exists, 175)
    ),
    Feature("bpf_loop", "5.17", "walks stacks of any depth in one program", partial(helper_exists, 181)),
)
"""What the sampler uses beyond the beginnings of BPF. Releases: the kernel's own history of bpf.h."""


def bpf_findings(machine: Machine) -> Iterator[Finding]:
    """Try BPF at all, then each feature, then the sampler itself."""
    refusal = _bpf_at_all(machine)
    if refusal:
        yield refusal
        return
    for feature in FEATURES:
        yield _feature_finding(feature, machine.bpf)
    yield _sampler_finding(machine)


def _bpf_at_all(machine: Machine) -> Finding | None:
    try:
        _array(machine.bpf)
    except OSError as error:
        forbidden = error.errno in {errno.EPERM, errno.EACCES}
        return Finding(
            _TOPIC,
            "bpf(2)",
            Status.MISSING,
            "not permitted, so nothing more was tried" if forbidden else f"refused: {error.strerror}",
            "the sampler runs in the kernel",
            "run as root or with CAP_BPF and CAP_PERFMON; in a container allow bpf in its seccomp profile"
            if forbidden
            else "use a kernel built with CONFIG_BPF_SYSCALL=y",
            required=True,
        )
    except OtelprofError as error:
        return Finding(
            _TOPIC, "bpf(2)", Status.MISSING, str(error), "the sampler runs in the kernel", "", required=True
        )
    return None


def _feature_finding(feature: Feature, bpf: BpfCalls) -> Finding:
    try:
        feature.probe(bpf)
    except OSError as error:
        return Finding(
            _TOPIC,
            feature.name,
            Status.MISSING,
            f"refused: {error.strerror}",
            feature.why,
            f"use Linux {feature.since} or newer, or a distribution's kernel that has it",
            feature.required,
        )
    return Finding(_TOPIC, feature.name, Status.OK, f"works (Linux {feature.since})", feature.why, "", feature.required)


def _sampler_finding(machine: Machine) -> Finding:
    why = "the programs that take the samples, verified by this kernel"
    try:
        machine.load_sampler()
    except (OtelprofError, OSError) as error:
        fix = "the points above come first; if they are fine, report this kernel's release and this line"
        return Finding(_TOPIC, "sampler", Status.MISSING, str(error), why, fix, required=True)
    return Finding(_TOPIC, "sampler", Status.OK, "loads", why, required=True)
