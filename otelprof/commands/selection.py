"""The processes that a recording is limited to."""

import os
from collections.abc import Sequence

from otelprof.errors import ProcessGone
from otelprof.processes.procfs import ProcessDirectory, descendants
from otelprof.roots import HostRoots
from otelprof.sampler.abi import Role
from otelprof.sampler.sampler import Sampler

__all__ = ("SelectedProcesses",)


class SelectedProcesses:
    """Processes by their ids, with all their descendants, and whether they still run."""

    def __init__(self, roots: HostRoots, pids: Sequence[int]) -> None:
        """Find the processes; raises ProcessGone for one that does not exist."""
        self._roots = roots
        self._pids = tuple(pids)
        self._pidfds: list[int] = []
        for pid in pids:
            self._hold(pid)

    def _hold(self, pid: int) -> None:
        try:
            with ProcessDirectory(self._roots, pid):
                self._pidfds.append(os.pidfd_open(pid))
        except (OSError, OverflowError, ProcessGone) as error:
            self.close()
            raise ProcessGone(pid) from error

    def select(self, sampler: Sampler) -> None:
        """Have them and their descendants sampled; call when forks are being followed already."""
        for pid in self._pids:
            self.add(sampler, pid)

    def add(self, sampler: Sampler, pid: int) -> None:
        """Have one process and its descendants sampled."""
        sampler.set_role(pid, Role.SELECTED)
        for child in descendants(self._roots, pid):
            sampler.set_role(child, Role.SELECTED)

    def filenos(self) -> tuple[int, ...]:
        """Descriptors of those that still run; readable when one has ended."""
        return tuple(self._pidfds)

    def ended(self, ready: frozenset[int]) -> tuple[int, ...]:
        """Note which of the readable descriptors mean that a process has ended, and return them."""
        ended = tuple(fd for fd in self._pidfds if fd in ready)
        for fd in ended:
            self._pidfds.remove(fd)
        return ended

    def close(self) -> None:
        """Let go of the processes."""
        for fd in self._pidfds:
            os.close(fd)
        self._pidfds.clear()
