"""The two commands of bpf(2) that tell what a kernel supports."""

import ctypes
import errno
import os
import platform
import struct
from typing import Protocol

from otelprof.errors import MissingFeature

__all__ = ("BpfCalls", "KernelBpf", "ProgramRefused")

# include/uapi/linux/bpf.h
_MAP_CREATE = 0
_PROG_LOAD = 5
_ATTRIBUTE_BYTES = 72
"""Up to prog_ifindex and expected_attach_type; a kernel accepts what it does not know as long as it is zero."""
_INSTRUCTION_BYTES = 8
_LOG_BYTES = 16 * 1024

_SYSCALL = {"x86_64": 321, "aarch64": 280}


class ProgramRefused(OSError):
    """The verifier did not accept a program; ``log`` is what it wrote, "" when it did not get that far."""

    def __init__(self, code: int, log: str) -> None:
        super().__init__(code, os.strerror(code))
        self.log = log


class BpfCalls(Protocol):
    """Makes one BPF object and releases it at once; raises OSError with the kernel's code."""

    def create_map(self, kind: int, key_bytes: int, value_bytes: int, entries: int, flags: int) -> None:
        """Create a map."""

    def load_program(self, kind: int, instructions: bytes) -> None:
        """Load a program; raises ProgramRefused."""


class KernelBpf:
    """The running kernel."""

    def create_map(self, kind: int, key_bytes: int, value_bytes: int, entries: int, flags: int) -> None:
        """Create a map and close it."""
        os.close(_bpf(_MAP_CREATE, struct.pack("=5I", kind, key_bytes, value_bytes, entries, flags)))

    def load_program(self, kind: int, instructions: bytes) -> None:
        """Verify a program and close it."""
        code = ctypes.create_string_buffer(instructions, len(instructions))
        license_text = ctypes.create_string_buffer(b"GPL")
        log = ctypes.create_string_buffer(_LOG_BYTES)
        attribute = struct.pack(
            "=IIQQIIQ",
            kind,
            len(instructions) // _INSTRUCTION_BYTES,
            ctypes.addressof(code),
            ctypes.addressof(license_text),
            1,
            _LOG_BYTES,
            ctypes.addressof(log),
        )
        try:
            os.close(_bpf(_PROG_LOAD, attribute))
        except OSError as error:
            raise ProgramRefused(error.errno or errno.EINVAL, log.value.decode("utf-8", "replace")) from error


def _bpf(command: int, attribute: bytes) -> int:
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise MissingFeature(f"otelprof samples on x86_64 and aarch64, not on {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    padded = ctypes.create_string_buffer(attribute, _ATTRIBUTE_BYTES)
    descriptor = int(libc.syscall(number, command, padded, _ATTRIBUTE_BYTES))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor
