"""Software clock events, one per CPU, out of phase with each other."""

import ctypes
import errno
import fcntl
import os
import platform
import struct
import time
from collections.abc import Callable
from pathlib import Path

from otelprof.errors import EnvironmentFailure, MissingFeature, MissingPrivilege
from otelprof.roots import HostRoots

__all__ = ("ClockEvents", "online_cpus", "open_clock_event", "parse_cpu_list")

# include/uapi/linux/perf_event.h
_TYPE_SOFTWARE = 1
_COUNT_SW_CPU_CLOCK = 0
_ATTRIBUTE_BYTES = 112  # PERF_ATTR_SIZE_VER5, Linux 4.1
_FLAG_DISABLED = 1
_FLAG_CLOEXEC = 8
_IOC_ENABLE = 0x2400
_IOC_SET_BPF = 0x40042408
_SYSCALL = {"x86_64": 298, "aarch64": 241}

_MAX_STAGGER_S = 0.1


def parse_cpu_list(text: str) -> frozenset[int]:
    """Decode the kernel's list format, ``0-3,8`` (Documentation/admin-guide/cputopology.rst)."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def online_cpus(roots: HostRoots) -> frozenset[int]:
    """CPUs that are online now."""
    path = roots.sys / "devices/system/cpu/online"
    try:
        return parse_cpu_list(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise EnvironmentFailure(f"cannot read which CPUs are online from {path}: {error}") from error


def open_clock_event(cpu: int, period_ns: int) -> int:
    """Open a disabled cpu-clock event that overflows every ``period_ns`` on ``cpu``, whoever runs there."""
    attribute = struct.pack(
        "=IIQQQQQ", _TYPE_SOFTWARE, _ATTRIBUTE_BYTES, _COUNT_SW_CPU_CLOCK, period_ns, 0, 0, _FLAG_DISABLED
    )
    attribute = attribute.ljust(_ATTRIBUTE_BYTES, b"\0")
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise MissingFeature(f"otelprof samples on x86_64 and aarch64, not on {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.syscall(number, attribute, -1, cpu, -1, ctypes.c_ulong(_FLAG_CLOEXEC)))
    if fd >= 0:
        return fd
    code = ctypes.get_errno()
    if code in {errno.EACCES, errno.EPERM}:
        raise MissingPrivilege("the kernel refuses to sample every process: run as root or with CAP_PERFMON")
    raise OSError(code, os.strerror(code))


class ClockEvents:
    """The sampling clocks of all online CPUs, following hotplug.

    ``opener`` opens one event and exists for tests.
    """

    def __init__(
        self,
        roots: HostRoots,
        frequency_hz: int,
        program_fd: int,
        *,
        opener: Callable[[int, int], int] = open_clock_event,
        start: Callable[[int, int], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is opened before :meth:`follow_hotplug` is called for the first time."""
        self._roots = roots
        self.period_ns = 1_000_000_000 // frequency_hz
        self._program_fd = program_fd
        self._opener = opener
        self._start = start or _attach_and_enable
        self._sleep = sleep
        self._events: dict[int, int] = {}
        self._closed_ns = 0

    @property
    def cpus(self) -> frozenset[int]:
        """CPUs that are being sampled."""
        return frozenset(self._events)

    def follow_hotplug(self) -> bool:
        """Sample the CPUs that came online, forget those that left; True when anything changed.

        The kernel removes the events of a CPU that goes offline for good
        (kernel/events/core.c: perf_event_exit_cpu), so one that returns needs a new event.
        """
        online = online_cpus(self._roots)
        gone, new = self._events.keys() - online, sorted(online - self._events.keys())
        for cpu in gone:
            self._close(cpu)
        stagger_s = min(self.period_ns / 1e9, _MAX_STAGGER_S) / max(len(new), 1)
        for index, cpu in enumerate(new):
            try:
                fd = self._opener(cpu, self.period_ns)
            except OSError as error:
                if error.errno == errno.ENODEV:  # it went away again
                    continue
                raise EnvironmentFailure(f"cannot sample CPU {cpu}: {error.strerror}") from error
            self._events[cpu] = fd
            if index:
                self._sleep(stagger_s)
            self._start(fd, self._program_fd)
        return bool(gone or new)

    def expected_ticks(self) -> int:
        """How many times the clocks should have ticked: each counts the nanoseconds that it ran."""
        running_ns = sum(int.from_bytes(os.read(fd, 8), "little") for fd in self._events.values())
        return (self._closed_ns + running_ns) // self.period_ns

    def _close(self, cpu: int) -> None:
        fd = self._events.pop(cpu)
        self._closed_ns += int.from_bytes(os.read(fd, 8), "little")
        os.close(fd)

    def close(self) -> None:
        """Stop sampling on every CPU."""
        for cpu in tuple(self._events):
            self._close(cpu)


def _attach_and_enable(fd: int, program_fd: int) -> None:
    try:
        fcntl.ioctl(fd, _IOC_SET_BPF, program_fd)
        fcntl.ioctl(fd, _IOC_ENABLE, 0)
    except OSError as error:
        raise EnvironmentFailure(f"cannot attach the sampler to the CPU clock: {error.strerror}") from error
