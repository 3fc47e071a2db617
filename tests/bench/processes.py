"""CPU time and memory of a program and all its descendants, as the kernel accounts for them."""

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ("Memory", "cpu_time_ns", "memory_of", "pss_without_bpf_maps_kib", "tree")

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2
"""linux/posix-timers_types.h: the clock of a process is ``~pid << 3`` with this in the low bits."""

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$")


def tree(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int(_stat(int(folder.name))[1])
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for member in found:  # grows meanwhile
        found += children.get(member, [])
    return found


def cpu_time_ns(pid: int) -> int:
    """Return the user and system CPU time of a process and its descendants, ended ones that were waited for included.

    The difference of two readings is true also when a descendant ended in between. Ended ones are accounted for in
    clock ticks, the others in nanoseconds.
    """
    total = 0
    for member in tree(pid):
        with suppress(OSError):
            children_ticks = sum(map(int, _stat(member)[13:15]))
            total += time.clock_gettime_ns(~member << 3 | _CPUCLOCK_SCHED) + children_ticks * _TICK_NS
    return total


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` from the third one (state) on."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


@dataclass(frozen=True, slots=True)
class Memory:
    """PSS without mappings of BPF maps, and what the kernel charges for these maps."""

    pss_bytes: int
    bpf_maps_bytes: int


def memory_of(pid: int) -> Memory:
    """Read the memory of a process and its descendants."""
    pss_kib = 0
    maps: dict[str, int] = {}
    for member in tree(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            pss_kib += pss_without_bpf_maps_kib(Path(f"/proc/{member}/smaps").read_text().splitlines())
            maps |= _bpf_maps(member)
    return Memory(pss_kib * 1024, sum(maps.values()))


def pss_without_bpf_maps_kib(smaps: Iterable[str]) -> int:
    """Add up the Pss of the mappings in the lines of ``/proc/<pid>/smaps``, leaving out those of BPF maps."""
    total = 0
    is_bpf_map = False
    for line in smaps:
        if found := _MAPPING.match(line):
            is_bpf_map = "anon_inode:bpf-map" in found[1]
        elif line.startswith("Pss:") and not is_bpf_map:
            total += int(line.split()[1])
    return total


def _bpf_maps(pid: int) -> dict[str, int]:
    """Memory in bytes by id of each BPF map that a process holds open."""
    maps = {}
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(OSError):
            fields = dict(line.split(":\t", 1) for line in entry.read_text().splitlines() if ":\t" in line)
            if "map_id" in fields:
                maps[fields["map_id"]] = int(fields["memlock"])
    return maps
