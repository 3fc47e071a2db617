"""What worker and parser give up: user, capabilities, network, directories, memory, children, system calls."""

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from typing import Final, NamedTuple

from otelprof.artifacts.seccomp import filter_available, install_filter

__all__ = ("Bounds", "confine_parser", "confine_worker")

_libc = ctypes.CDLL(None, use_errno=True)

_CLONE_NEWNET: Final = 0x4000_0000
"""``linux/sched.h``"""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
"""``linux/prctl.h``"""
_CAPABILITY_VERSION_3: Final = 0x2008_0522
"""``linux/capability.h``"""

_DESCRIPTORS: Final = 16
"""Standard streams, channel, output and inputs, with room for what the interpreter wants."""


class Bounds(NamedTuple):
    """The numbers that confinement needs; see :class:`otelprof.artifacts.limits.Limits`."""

    user_id: int
    niceness: int
    address_space_bytes: int
    output_bytes: int


def confine_worker(bounds: Bounds) -> list[str]:
    """Give up all that the worker does not need; return what could not be given up, one sentence part each.

    Whatever is missing (the agent is not root, the kernel lacks something) the rest is done all the same.
    """
    missing: list[str] = []
    for what, step in _STEPS:
        try:
            step(bounds)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            missing.append(f"{what} ({reason})")
    return missing


def confine_parser(worker_pid: int, cpu_s: int) -> None:
    """Give up the rest, in the process that reads one file: starting processes, and nearly all system calls.

    Raises OSError when that cannot be done: then nothing may be read.
    """
    _die_with_parent()
    if os.getppid() != worker_pid:
        os._exit(1)
    _lower(resource.RLIMIT_NPROC, 0, 0)
    # The soft limit ends the parser with SIGXCPU, which tells; the hard one is for a parser that survives that.
    _lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)
    if filter_available():
        install_filter()


def _call(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _prctl(option: int, value: int) -> None:
    unused = ctypes.c_ulong(0)
    _call(_libc.prctl(option, ctypes.c_ulong(value), unused, unused, unused))


def _be_first_to_go(_bounds: Bounds) -> None:
    """Let the kernel choose this process when memory runs out."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    try:
        os.write(descriptor, b"1000")
    finally:
        os.close(descriptor)


def _step_back(bounds: Bounds) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, max(bounds.niceness, os.getpriority(os.PRIO_PROCESS, 0)))


def _leave_network(_bounds: Bounds) -> None:
    _call(_libc.unshare(_CLONE_NEWNET))


def _leave_directories(_bounds: Bounds) -> None:
    """Take as root a directory that holds nothing but the numbers of this process's own descriptors."""
    os.chroot("/proc/self/fdinfo")
    os.chdir("/")


def _bound_resources(bounds: Bounds) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, bounds.address_space_bytes),
        (resource.RLIMIT_FSIZE, bounds.output_bytes),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        _lower(limit, value, value)


def _lower(limit: int, soft: int, hard: int) -> None:
    """Set a limit, or leave it where it is lower already."""
    _, ceiling = resource.getrlimit(limit)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(limit, (soft, hard))


def _change_user(bounds: Bounds) -> None:
    os.setgroups([])
    os.setresgid(bounds.user_id, bounds.user_id, bounds.user_id)
    os.setresuid(bounds.user_id, bounds.user_id, bounds.user_id)


def _drop_capabilities(_bounds: Bounds) -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _call(_libc.capset(header, nothing))


def _gain_nothing_again(_bounds: Bounds) -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _hide_memory(_bounds: Bounds) -> None:
    _prctl(_PR_SET_DUMPABLE, 0)


def _die_with_parent(_bounds: Bounds | None = None) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _expect_filter(_bounds: Bounds) -> None:
    if not filter_available():
        raise ValueError("not known for this architecture, or the kernel has no CONFIG_SECCOMP_FILTER")


_STEPS: Final[tuple[tuple[str, Callable[[Bounds], None]], ...]] = (
    ("first to go when memory runs out", _be_first_to_go),
    ("lower priority", _step_back),
    ("no network", _leave_network),
    ("no directories", _leave_directories),
    ("bounded resources", _bound_resources),
    ("its own user", _change_user),
    ("no capabilities", _drop_capabilities),
    ("no new privileges", _gain_nothing_again),
    ("hidden memory", _hide_memory),
    # Changing user forgets the signal, so this comes later.
    ("ends with the agent", _die_with_parent),
    ("system call filter", _expect_filter),
)
