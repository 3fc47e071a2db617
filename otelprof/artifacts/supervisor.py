"""The agent's side of the worker: starts it, gives it one file at a time, outlives whatever becomes of it."""

import logging
import math
import select
import signal
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from typing import Final, NamedTuple

from otelprof.artifacts import wire
from otelprof.artifacts.launch import Spawn, WorkerProcess
from otelprof.artifacts.limits import Limits
from otelprof.errors import WorkerFailure

__all__ = ("Answer", "Supervisor", "Verdict")

_log = logging.getLogger(__name__)

_GRACE_S: Final = 2.0
"""The worker enforces the deadline of its parser; this much later it is hanging itself."""

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 30.0
"""Between starts of workers that die at once."""


class Verdict(Enum):
    """What became of one file."""

    DONE = "done"
    CRASH = "crash"
    HANG = "hang"
    MEMORY = "memory"
    REFUSED = "refused"


class Answer(NamedTuple):
    """What the worker says about one file; ``detail`` of DONE and REFUSED is in the output file."""

    verdict: Verdict
    detail: str = ""


class Supervisor:
    """One worker, started when there is something to do. Not for several threads, but for :meth:`stop`."""

    def __init__(self, spawn: Spawn, limits: Limits) -> None:
        self._spawn = spawn
        self._limits = limits
        self._worker: WorkerProcess | None = None
        self._number = 0
        self._deaths = 0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.starts = 0
        self.missing: tuple[str, ...] | None = None
        """What the last worker could not give up, None before the first."""

    @property
    def alive(self) -> bool:
        """Whether a worker is waiting for work."""
        return self._worker is not None

    def parse(self, index: int, files: Sequence[int], output: int, size_bytes: int) -> Answer:
        """Let the worker compute an artifact from ``files`` into ``output``; returns within the deadline.

        ``index`` is the position of the extract function, ``size_bytes`` the size of the files together.
        Raises WorkerFailure when stopped while no worker comes up.
        """
        budget_s = self._limits.cpu_budget_s(size_bytes)
        wall_s = budget_s * self._limits.wall_factor
        # A worker never looks at a file, so when it dies the file is not to blame: most likely it was idle and
        # the kernel needed memory. That can happen once.
        for _ in range(2):
            self._number = (self._number + 1) & 0xFFFF_FFFF
            request = wire.REQUEST.pack(self._number, index, math.ceil(budget_s), int(wall_s * 1000))
            reply = self._exchange(request, [output, *files], wall_s + _GRACE_S)
            if reply is None:
                self.retire()
                return Answer(Verdict.HANG, "the worker does not answer")
            if len(reply) == wire.REPLY.size:
                number, timed_out, status = wire.REPLY.unpack(reply)
                if number == self._number:
                    self._deaths = 0
                    return _verdict(status, timed_out=timed_out)
            self._deaths += 1
            self.retire()
        return Answer(Verdict.CRASH, "the worker died")

    def retire(self) -> None:
        """End an idle worker."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            # A worker that listens ends by itself, also where the agent may not kill it.
            worker.channel.close()
            worker.kill()
            worker.reap()

    def stop(self) -> None:
        """Make :meth:`parse` in another thread return, and start nothing any more."""
        self._stopped.set()
        if (worker := self._worker) is not None:
            with suppress(OSError):  # it has ended already
                worker.channel.shutdown(socket.SHUT_RDWR)

    def _exchange(self, request: bytes, files: Sequence[int], timeout_s: float) -> bytes | None:
        """Send a request and wait for its reply: empty when the worker is dead, None when the time is over."""
        worker = self._worker or self._start()
        try:
            socket.send_fds(worker.channel, [request], files)
        except OSError:
            return b""
        return _receive(worker.channel, wire.REPLY.size, timeout_s)

    def _start(self) -> WorkerProcess:
        while not self._stopped.is_set():
            # The first death may be an accident.
            if self._deaths > 1:
                self._stopped.wait(min(_FIRST_PAUSE_S * 2 ** min(self._deaths - 2, 20), _LONGEST_PAUSE_S))
            try:
                return self._try_start()
            except WorkerFailure as failure:
                self._deaths += 1
                if not self._stopped.is_set():
                    _log.warning("%s; trying again", failure)
        raise WorkerFailure("the parsing worker is stopped")

    def _try_start(self) -> WorkerProcess:
        worker = self._spawn()
        self._worker = worker
        self.starts += 1
        if self._stopped.is_set():  # since the last look, and stop() did not see this worker
            self.retire()
            raise WorkerFailure("the parsing worker is stopped")
        hello = _receive(worker.channel, wire.MAX_HELLO_BYTES, self._limits.start_s)
        if hello is None or hello[:1] != wire.READY:
            self.retire()
            reason = hello[1:].decode(errors="replace") if hello else "it ended" if hello == b"" else "it hangs"
            raise WorkerFailure(f"the parsing worker does not come up: {reason}")
        missing = tuple(hello[1:].decode().splitlines())
        if missing and missing != self.missing:
            _log.warning("the parsing worker is confined less than it could be; missing: %s", "; ".join(missing))
        self.missing = missing
        return worker


def _receive(channel: socket.socket, size_bytes: int, timeout_s: float) -> bytes | None:
    """Wait for a message: empty at the end of file, None when the time is over."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    while (remaining := deadline - time.monotonic()) > 0:
        if poll.poll(math.ceil(remaining * 1000)):
            try:
                return channel.recv(size_bytes)
            except OSError:
                return b""
    return None


def _verdict(status: int, *, timed_out: bool) -> Answer:
    if timed_out:
        return Answer(Verdict.HANG, "time limit")
    if status == -signal.SIGXCPU:
        return Answer(Verdict.HANG, "processor time limit")
    if status < 0:
        return Answer(Verdict.CRASH, _signal_name(-status))
    answers = {
        wire.EXIT_DONE: Answer(Verdict.DONE),
        wire.EXIT_REFUSED: Answer(Verdict.REFUSED),
        wire.EXIT_MEMORY: Answer(Verdict.MEMORY, "memory limit"),
    }
    return answers.get(status, Answer(Verdict.CRASH, f"exit status {status}"))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
