"""How a worker is started: a fresh Python with nothing but a channel and the agent's import path."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import otelprof
from otelprof.artifacts.confine import Bounds
from otelprof.artifacts.limits import Limits
from otelprof.errors import WorkerFailure

__all__ = ("LocalWorker", "Spawn", "WorkerProcess", "local_spawn")

_CHANNEL: Final = 3
"""The descriptor of the channel in the worker."""

# No site, no environment: the modules come from where the agent's came from, also a zip file or an editable
# installation, and from nowhere else.
_BOOT: Final = (
    "import sys; sys.path[:] = sys.argv[1].split('\\n'); from otelprof.artifacts.worker import main; main(sys.argv[2:])"
)


class WorkerProcess(Protocol):
    """A started worker, as its supervisor sees it."""

    @property
    def channel(self) -> socket.socket:
        """The agent's end of the SOCK_SEQPACKET pair; at its end of file the worker is dead or dying."""

    def kill(self) -> None:
        """End the worker and its parser at once, where that is allowed and not done already."""

    def reap(self) -> None:
        """Wait for the worker's end, so that no zombie stays; called once, after a kill or an end of file."""


Spawn: TypeAlias = Callable[[], WorkerProcess]
"""Starts a worker; raises WorkerFailure when that is impossible.

Called from a helper thread, and a worker ends with the thread that started it (``PR_SET_PDEATHSIG``).
A process that keeps the capabilities which the agent dropped can stand behind it.
"""


class LocalWorker:
    """A worker that is a child of this process."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.channel = channel

    def kill(self) -> None:
        """Send SIGKILL; the parser dies with the worker."""
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for the process."""
        with suppress(ChildProcessError):  # whoever ignores SIGCHLD has no zombies
            os.waitpid(self.pid, 0)


def local_spawn(extracts: Sequence[str], limits: Limits) -> Spawn:
    """Return what starts workers as children of this process, for these extract functions."""
    bounds = Bounds(limits.user_id, limits.niceness, limits.address_space_bytes, limits.output_bytes)
    package_parent = str(Path(otelprof.__file__).parent.parent)
    # Entries relative to the current directory mean something else in the worker.
    path = [entry for entry in sys.path if Path(entry).is_absolute()]
    if package_parent not in path:
        path.insert(0, package_parent)
    arguments = [
        *(sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, "\n".join(path)),
        *map(str, (_CHANNEL, *bounds)),
        *extracts,
    ]

    def spawn() -> WorkerProcess:
        channel, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other_end:
            try:
                pid = os.posix_spawn(
                    sys.executable,
                    arguments,
                    _environment(),
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, other_end.fileno(), _CHANNEL),
                        *((os.POSIX_SPAWN_OPEN, stream, "/dev/null", os.O_RDWR, 0) for stream in (0, 1, 2)),
                    ],
                    setsigmask=[],
                )
            except OSError as error:
                channel.close()
                raise WorkerFailure(f"the parsing worker cannot be started: {error.strerror}") from error
        return LocalWorker(pid, channel)

    return spawn


def _environment() -> dict[str, str]:
    """Nothing of the agent's environment, which may hold secrets, except where its C libraries are."""
    name = "LD_LIBRARY_PATH"
    return {name: os.environ[name]} if name in os.environ else {}
