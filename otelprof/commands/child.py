"""The program that `record -- PROGRAM` profiles: started held back, released, waited for."""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from otelprof.errors import OtelprofError

__all__ = ("HeldProgram",)

_CANNOT_EXECUTE = 126
_NOT_FOUND = 127


class HeldProgram:
    """A child process that waits for :meth:`release` before it becomes the program.

    So the sampler knows its process id before its first instruction. Make it before any thread is started.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        """Fork; raises OtelprofError when that is impossible."""
        self.arguments = tuple(arguments)
        gate, self._gate = os.pipe()
        try:
            self.pid = os.fork()
        except OSError as error:
            raise OtelprofError(f"cannot start {arguments[0]}: {error.strerror}") from error
        if self.pid == 0:
            os.close(self._gate)
            _become(arguments, gate)
        os.close(gate)
        self._pidfd = os.pidfd_open(self.pid)
        self._status: int | None = None

    def fileno(self) -> int:
        """Readable once the program has ended."""
        return self._pidfd

    def release(self) -> None:
        """Let the program run."""
        os.write(self._gate, b"1")
        os.close(self._gate)
        self._gate = -1

    def forward(self, number: int) -> None:
        """Hand a signal on; one that came from the terminal has reached the program already."""
        if number == signal.SIGINT and _shares_terminal():
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def exit_code(self) -> int:
        """Wait for the end; the program's status as a shell gives it, 128 + n when signal n ended it."""
        if self._status is None:
            _, status = os.waitpid(self.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            self._status = code if code >= 0 else 128 - code
        return self._status

    def close(self) -> None:
        """Let go of the program; one that was never released ends without having run."""
        if self._gate >= 0:
            os.close(self._gate)
            self.exit_code()
        os.close(self._pidfd)


def _become(arguments: Sequence[str], gate: int) -> NoReturn:
    """In the child: wait at the gate, then execute the program; no way leads back into Python's caller."""
    code = _CANNOT_EXECUTE
    try:
        released = os.read(gate, 1)
        os.close(gate)
        if not released:
            os._exit(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(arguments[0], list(arguments))  # noqa: S606 - the very purpose
    except FileNotFoundError:
        code = _NOT_FOUND
        sys.stderr.write(f"otelprof: there is no program {arguments[0]!r}\n")
    except OSError as error:
        sys.stderr.write(f"otelprof: cannot run {arguments[0]!r}: {error.strerror}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _shares_terminal() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
