"""The folders of the control groups: their inode numbers are ids, for the kernel and for Datadog."""

# Scans thousands of folders, where a Path costs more than the system call behind it.
# ruff: noqa: PTH110, PTH116

import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice

from otelprof.errors import OtelprofError
from otelprof.processes.cgroups import cgroup_paths
from otelprof.processes.procfs import ProcessDirectory
from otelprof.roots import HostRoots

__all__ = ("CgroupTree",)

_HOST_CGROUP_NAMESPACE = b"cgroup:[4026531835]"
"""linux/proc_ns.h: PROC_CGROUP_INIT_INO, 0xEFFFFFFB."""

_MAX_FOLDERS = 65_536
"""Control groups remembered: about as many as a host can hold, some 10 MB."""

_RESCAN_NS = 5_000_000_000
"""A scan of a thousand groups takes some 10 ms; unknown ids may come many times a second."""


class CgroupTree:
    """Paths of v2 control groups by id.

    The id that BPF gives is the inode number of the group's folder (64-bit hosts, Linux 5.5, commit 743210386c03).
    The tree is scanned when an id is unknown, at most every five seconds; groups removed since stay known, which is
    what this is for: the process is gone, and its container may be as well.
    """

    def __init__(self, roots: HostRoots, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._roots = roots
        self._clock = clock
        self._paths: dict[int, str] = {}
        self._next_scan_ns: int | None = None

    def path(self, cgroup_id: int) -> str | None:
        """Return the path of a group below the root of the v2 hierarchy, None when it is not known."""
        found = self._paths.get(cgroup_id)
        if found is None and cgroup_id and (self._next_scan_ns is None or self._clock() >= self._next_scan_ns):
            self._scan()
            self._next_scan_ns = self._clock() + _RESCAN_NS
            found = self._paths.get(cgroup_id)
        return found

    def remember(self, cgroup_id: int, text: bytes) -> None:
        """Note the path of a group from the ``cgroup`` file of a process that was in it, if it still is."""
        path = cgroup_paths(text).get("") if cgroup_id not in self._paths else None
        if path is None:
            return
        with suppress(OSError, ValueError):
            if os.stat(_v2_mount(self._roots) + path).st_ino == cgroup_id:
                self._keep({cgroup_id: path})

    def entity_id(self, directory: ProcessDirectory, text: bytes, container_id: str) -> str:
        """Return by what the Datadog Agent knows a process's container, "" for a process of the host.

        ``ci-<container id>`` where that is known. Else ``in-<inode>`` of the process's control group, if it is in a
        control group namespace of its own: v1's memory controller, else v2. ``text`` is its ``cgroup`` file.
        """
        if container_id:
            return f"ci-{container_id}"
        try:
            if directory.link("ns/cgroup") == _HOST_CGROUP_NAMESPACE:
                return ""
        except OtelprofError:
            return ""
        paths = cgroup_paths(text)
        for controller, mount in (("memory", f"{self._roots.sys}/fs/cgroup/memory"), ("", _v2_mount(self._roots))):
            path = paths.get(controller)
            # A path with dots is relative to a namespace of the reader's own, not to what is mounted.
            if path is not None and ".." not in path.split("/"):
                with suppress(OSError, ValueError):
                    return f"in-{os.stat(mount + path).st_ino}"
        return ""

    def _scan(self) -> None:
        top = _v2_mount(self._roots)
        try:
            found = {os.stat(top).st_ino: "/"}
        except OSError:
            return
        folders = deque([""])
        while folders and len(found) < _MAX_FOLDERS:
            parent = folders.popleft()
            try:
                with os.scandir(top + parent) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            path = f"{parent}/{entry.name}"
                            found[entry.inode()] = path
                            folders.append(path)
            except OSError:
                continue
        self._keep(found)

    def _keep(self, found: dict[int, str]) -> None:
        """Add paths, the newest last: where there are too many the oldest are forgotten."""
        for number in found.keys() & self._paths.keys():
            del self._paths[number]
        self._paths |= found
        for number in list(islice(self._paths, max(0, len(self._paths) - _MAX_FOLDERS))):
            del self._paths[number]


def _v2_mount(roots: HostRoots) -> str:
    """Where the v2 hierarchy is mounted: beside v1's on hosts that have both."""
    unified = f"{roots.sys}/fs/cgroup/unified"
    return unified if os.path.exists(f"{unified}/cgroup.procs") else f"{roots.sys}/fs/cgroup"
