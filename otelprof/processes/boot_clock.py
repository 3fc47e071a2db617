"""Start times: from the kernel's clocks to the ticks that procfs shows, and to wall time."""

import re
import time
from dataclasses import dataclass

from otelprof.roots import HostRoots

__all__ = ("BootClock", "read_boot_clock")

TICKS_PER_SECOND = 100
"""USER_HZ, the unit of times in procfs on every architecture we run on (asm-generic/param.h)."""

_TICK_NS = 1_000_000_000 // TICKS_PER_SECOND

_BOOT_TIME = re.compile(rb"^btime ([0-9]{1,18})$", re.MULTILINE)
_OFFSET = re.compile(rb"^boottime +(-?[0-9]{1,12}) +([0-9]{1,9})$", re.MULTILINE)

_MAX_STAT_BYTES = 16 << 20
"""/proc/stat has a line per CPU and a number per interrupt: megabytes on the largest hosts."""


@dataclass(frozen=True, slots=True)
class BootClock:
    """How this reader's procfs shows times since boot.

    ``boot_time_s`` is the Unix time of the boot, None if unknown; it is read once, so that a process's creation time
    stays the same when the wall clock is set. ``offset_ns`` is what a time namespace adds to CLOCK_BOOTTIME
    (time_namespaces(7)): procfs shows start times in the reader's namespace.
    """

    boot_time_s: int | None = None
    offset_ns: int = 0

    def ticks(self, start_ns: int) -> int:
        """Return the start of a process as its ``stat`` shows it; ``start_ns`` is on the host's CLOCK_BOOTTIME."""
        return (start_ns + self.offset_ns) // _TICK_NS

    def creation_time(self, ticks: int) -> str:
        """Return ISO 8601 in UTC with the ticks' precision, "" when the time of the boot is unknown."""
        if self.boot_time_s is None:
            return ""
        seconds, rest = divmod(ticks, TICKS_PER_SECOND)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.boot_time_s + seconds))
        return f"{moment}.{rest * 1000 // TICKS_PER_SECOND:03d}Z"


def read_boot_clock(roots: HostRoots) -> BootClock:
    """Read the time of the boot and the reader's time namespace."""
    boot_time = _search(_BOOT_TIME, roots, "stat")
    # Time namespaces came with Linux 5.5; without them there is no offset.
    offset = _search(_OFFSET, roots, "self/timens_offsets")
    return BootClock(
        int(boot_time[1]) if boot_time else None,
        int(offset[1]) * 1_000_000_000 + int(offset[2]) if offset else 0,
    )


def _search(pattern: re.Pattern[bytes], roots: HostRoots, place: str) -> re.Match[bytes] | None:
    try:
        with (roots.proc / place).open("rb") as file:
            return pattern.search(file.read(_MAX_STAT_BYTES))
    except OSError:
        return None
