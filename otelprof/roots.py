"""Where the host's file systems are: ``/`` normally, a mount point inside a container."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ("HostRoots",)


@dataclass(frozen=True, slots=True)
class HostRoots:
    """The root below which the host's ``/proc``, ``/sys`` and ``/etc`` are read.

    Every reader of kernel state takes one, so that it also runs on a tree of files.
    """

    root: Path = Path("/")

    @property
    def proc(self) -> Path:
        """The host's procfs."""
        return self.root / "proc"

    @property
    def sys(self) -> Path:
        """The host's sysfs."""
        return self.root / "sys"

    @property
    def etc(self) -> Path:
        """The host's configuration folder."""
        return self.root / "etc"
