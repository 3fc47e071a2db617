"""The PID namespace that otelprof itself runs in."""

from dataclasses import dataclass

from otelprof.errors import EnvironmentFailure
from otelprof.roots import HostRoots

__all__ = ("PidNamespace", "own_pid_namespace")

_INITIAL_INODE = 0xEFFFFFFC
"""linux/proc_ns.h: PROC_PID_INIT_INO."""

_MAX_STATUS_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class PidNamespace:
    """A PID namespace, named by the device and inode of its file as ``bpf_get_ns_current_pid_tgid`` wants them.

    ``level`` counts the namespaces between the one that ``/proc`` shows and this one: 0 when PIDs here are those in
    ``/proc``.
    """

    device: int
    inode: int
    level: int

    @property
    def is_initial(self) -> bool:
        """Whether it is the host's own, where every process has a PID."""
        return self.inode == _INITIAL_INODE


def own_pid_namespace(roots: HostRoots) -> PidNamespace:
    """Return the PID namespace of this process; raises EnvironmentFailure when procfs does not tell."""
    this = roots.proc / "self"
    try:
        link = str((this / "ns/pid").readlink())
        with (this / "status").open("rb") as file:
            status = file.read(_MAX_STATUS_BYTES)
        inode = int(link.removeprefix("pid:[").removesuffix("]"))
        device = (this / "ns/pid").stat().st_dev
    except (OSError, ValueError) as error:
        raise EnvironmentFailure(
            f"{this}/ns/pid does not tell the PID namespace ({error}): mount procfs there"
        ) from error
    # NSpid, Linux 4.1: the PID in each namespace, from that of procfs inwards.
    pids = next((line.split()[1:] for line in status.splitlines() if line.startswith(b"NSpid:")), [])
    return PidNamespace(device, inode, max(0, len(pids) - 1))
