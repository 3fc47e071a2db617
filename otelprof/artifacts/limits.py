"""Every limit on the work of the parsing worker, with its reason."""

from dataclasses import dataclass

__all__ = ("Limits",)

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What parsing one file may cost.

    ``user_id``             user and group of the worker: in the range that systemd's UIDS-GIDS page lists as unused
    ``niceness``            behind the host's own work, yet not starved by it: names are wanted within seconds
    ``address_space_bytes`` of one parse; the tables of the largest browsers need about half
    ``output_bytes``        of one artifact
    ``shared_bytes``        files up to this size are copied into memory before they are read, and shared by
                            content; larger ones are read in place and found by their key only
    ``cpu_s``, ``cpu_s_per_mib``, ``max_cpu_s``  processor time for one file, by its size
    ``wall_factor``         wall time per processor time: every processor may be busy with the host's own work
    ``read_s``              for copying one file; it may lie on a server that is gone
    ``start_s``             for the worker to come up, on a host with every processor busy
    ``idle_s``              after which a worker without work is let go
    """

    user_id: int = 1_900_000_019
    niceness: int = 5
    address_space_bytes: int = 512 * _MIB
    output_bytes: int = 64 * _MIB
    shared_bytes: int = 32 * _MIB
    cpu_s: float = 2.0
    cpu_s_per_mib: float = 0.1
    max_cpu_s: float = 30.0
    wall_factor: float = 5.0
    read_s: float = 30.0
    start_s: float = 20.0
    idle_s: float = 5.0

    def cpu_budget_s(self, size_bytes: int) -> float:
        """Return the processor time that a parse of so many bytes may take, in seconds."""
        return min(self.cpu_s + self.cpu_s_per_mib * size_bytes / _MIB, self.max_cpu_s)
