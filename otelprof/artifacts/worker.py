"""The parsing worker: a confined process that forks a parser for each file.

The worker never looks at a file. It imports the extract functions, gives up what it does not need and waits;
each request is served by a child of its own that gives up the rest, reads the one file, writes one artifact
and ends. So neither a crash nor code that a file smuggles in reaches the next file, and no file pays for
starting Python again.

Started by :mod:`otelprof.artifacts.launch` as ``main(channel, bounds..., extract functions...)``.
"""

import gc
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Final, NoReturn, TypeAlias

from otelprof.artifacts import wire
from otelprof.artifacts.confine import Bounds, confine_parser, confine_worker
from otelprof.artifacts.memory import write_all
from otelprof.errors import OtelprofError

__all__ = ("main",)

Extract: TypeAlias = Callable[[Sequence[int]], bytes]
"""Computes an artifact from open files."""

_FIRST_OTHER_DESCRIPTOR: Final = 4
"""After the standard streams (all /dev/null) and the channel."""


def main(arguments: Sequence[str]) -> None:
    """Serve requests until the agent closes the channel.

    ``arguments`` are the number of the channel's descriptor, the fields of :class:`Bounds` and the extract
    functions as ``module:function``; a request names one by its position.
    """
    first_extract = 1 + len(Bounds._fields)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=int(arguments[0]))
    bounds = Bounds(*map(int, arguments[1:first_extract]))
    try:
        _close_from(_FIRST_OTHER_DESCRIPTOR)
        extracts = [_resolve(spec) for spec in arguments[first_extract:]]
    except Exception as error:  # the agent must learn of whatever keeps the worker from working
        channel.send(wire.NOT_READY + f"{type(error).__name__}: {error}".encode()[: wire.MAX_HELLO_BYTES - 1])
        return
    # A warning would print its source line, and there are no files here.
    warnings.simplefilter("ignore")
    missing = confine_worker(bounds)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    # Children share these objects; the collector would copy their pages.
    gc.freeze()
    channel.send(wire.READY + "\n".join(missing).encode()[: wire.MAX_HELLO_BYTES - 1])
    worker = _Worker(channel, extracts, bounds)
    while worker.serve_one():
        pass


def _close_from(first: int) -> None:
    with os.scandir("/proc/self/fd") as listing:
        descriptors = [int(entry.name) for entry in listing]
    for descriptor in descriptors:
        if descriptor >= first:
            with suppress(OSError):  # the listing's own is closed by now
                os.close(descriptor)


def _resolve(spec: str) -> Extract:
    module, _, name = spec.partition(":")
    extract: Extract = getattr(import_module(module), name)
    return extract


class _Worker:
    """The confined process that waits for requests."""

    def __init__(self, channel: socket.socket, extracts: Sequence[Extract], bounds: Bounds) -> None:
        self._channel = channel
        self._extracts = extracts
        self._max_artifact_bytes = bounds.output_bytes - wire.OUTPUT.size
        self._pid = os.getpid()

    def serve_one(self) -> bool:
        """Have one file parsed; return False when the agent wants nothing any more."""
        message, files, _, _ = socket.recv_fds(self._channel, wire.REQUEST.size, 1 + wire.MAX_INPUTS)
        if not message:
            return False
        number, index, cpu_s, wall_ms = wire.REQUEST.unpack(message)
        extract = self._extracts[index]
        parser = os.fork()
        if parser == 0:
            self._parse(extract, files, cpu_s)
        for file in files:
            os.close(file)
        in_time, status = _await(parser, time.monotonic() + wall_ms / 1000)
        self._channel.send(wire.REPLY.pack(number, not in_time, status))
        return True

    def _parse(self, extract: Extract, files: Sequence[int], cpu_s: int) -> NoReturn:
        """Be the parser: compute one artifact, leave it in the output file and end."""
        output, *inputs = files
        status = wire.EXIT_REFUSED
        try:
            self._channel.close()
            confine_parser(self._pid, cpu_s)
            artifact = extract(inputs)
            if len(artifact) > self._max_artifact_bytes:
                raise OtelprofError(f"its artifact would be {len(artifact)} bytes long")
            _write(output, artifact)
            status = wire.EXIT_DONE
        except MemoryError:
            status = wire.EXIT_MEMORY
        except BaseException as error:  # whatever it is, it costs this file and no other
            with suppress(BaseException):
                reason = str(error) if isinstance(error, OtelprofError) else f"{type(error).__name__}: {error}"
                _write(output, reason.encode(errors="replace")[: wire.MAX_MESSAGE_BYTES])
        finally:
            os._exit(status)


def _await(parser: int, deadline: float) -> tuple[bool, int]:
    """Wait for the parser, kill it at the deadline; return whether it ended by itself, and how."""
    while True:
        pid, status = os.waitpid(parser, os.WNOHANG)
        if pid:
            return True, os.waitstatus_to_exitcode(status)
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            os.kill(parser, signal.SIGKILL)
            _, status = os.waitpid(parser, 0)
            return False, os.waitstatus_to_exitcode(status)
        # SIGCHLD is blocked, so one that came since waitpid is still waiting.
        signal.sigtimedwait([signal.SIGCHLD], remaining)


def _write(output: int, data: bytes) -> None:
    os.lseek(output, 0, os.SEEK_SET)
    write_all(output, wire.OUTPUT.pack(len(data)))
    write_all(output, data)
