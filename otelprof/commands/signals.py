"""Signals as events of a loop."""

import os
import signal
import socket
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ("SignalEvents",)

_Handler = Callable[[int, FrameType | None], Any] | int | None


class SignalEvents:
    """Collects signals while it is entered; readable when one has come.

    Handlers do nothing but wake the loop. Only for the main thread.
    """

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers
        self._handlers: dict[int, _Handler] = {}

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._previous_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            self._handlers[number] = signal.signal(number, lambda *_: None)
        return self

    def fileno(self) -> int:
        """Descriptor to wait on."""
        return self._reader.fileno()

    def take(self) -> list[int]:
        """Signals that have come since the last time, in order."""
        try:
            data = os.read(self._reader.fileno(), 64)
        except BlockingIOError:
            return []
        return [number for number in data if number in self._handlers]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        self._reader.close()
        self._writer.close()
