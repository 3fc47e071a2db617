"""What agent, worker and parser say to each other: three small structures.

The channel is a SOCK_SEQPACKET pair. When the worker is ready it sends one message: ``+`` and what could not
be confined, one line each, or ``-`` and why it cannot work. Then each :data:`REQUEST` carries the output file
and the input files as descriptors and gets one :data:`REPLY`. The parser has no channel: it leaves its result
in the output file and its verdict in its exit status.
"""

import struct
from typing import Final

__all__ = (
    "EXIT_DONE",
    "EXIT_MEMORY",
    "EXIT_REFUSED",
    "MAX_HELLO_BYTES",
    "MAX_INPUTS",
    "MAX_MESSAGE_BYTES",
    "NOT_READY",
    "OUTPUT",
    "READY",
    "REPLY",
    "REQUEST",
)

REQUEST: Final = struct.Struct("=IIII")
"""Request number, index of the extract function, processor time in s, wall time in ms."""

REPLY: Final = struct.Struct("=I?3xi")
"""Request number, whether the time ran out, exit status of the parser (negative: the signal that ended it)."""

OUTPUT: Final = struct.Struct("=Q8x")
"""Head of the output file: how many bytes follow it. Keeps them aligned for ``memoryview.cast``."""

MAX_INPUTS: Final = 3
"""Most files that one artifact is computed from."""

READY: Final = b"+"
NOT_READY: Final = b"-"
MAX_HELLO_BYTES: Final = 4096
MAX_MESSAGE_BYTES: Final = 400
"""Longest reason that a parser can leave behind."""

EXIT_DONE: Final = 0
"""The output file holds the artifact."""
EXIT_REFUSED: Final = 3
"""The output file holds the reason, as UTF-8."""
EXIT_MEMORY: Final = 4
"""The memory limit was reached."""
