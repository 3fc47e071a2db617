"""Durations, sizes and sampling rates as people write them."""

import argparse
import re
from collections.abc import Callable
from typing import TypeVar

from otelprof.errors import UsageError

__all__ = (
    "MAX_FREQUENCY_HZ",
    "argument",
    "lockstep_advice",
    "parse_duration_ns",
    "parse_frequency_hz",
    "parse_size_bytes",
)

T = TypeVar("T")

MAX_FREQUENCY_HZ = 1000
"""Above this rate the interrupt itself becomes what is measured."""

_DURATION = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?(ms|s|m|h)?")
_DURATION_UNITS_NS = {"ms": 10**6, "s": 10**9, None: 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_MAX_DURATION_NS = 2**63 - 1

_SIZE = re.compile(r"([0-9]{1,15})(?:([KMG])(?:iB)?)?", re.IGNORECASE)
_SIZE_UNITS = {"": 0, "k": 10, "m": 20, "g": 30}


def parse_duration_ns(text: str) -> int:
    """Read ``5``, ``5s``, ``1.5s``, ``500ms``, ``1m`` or ``2h``; a bare number is seconds.

    Returns nanoseconds, at least 1; raises UsageError.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a duration; write it like 5, 5s, 500ms or 1m")
    whole, fraction, unit = match.groups()
    unit_ns = _DURATION_UNITS_NS[unit]
    duration_ns = int(whole) * unit_ns + int((fraction or "").ljust(9, "0")) * unit_ns // 10**9
    if not 0 < duration_ns <= _MAX_DURATION_NS:
        raise UsageError(f"a duration of {text!r} is out of range; write one like 5, 5s, 500ms or 1m")
    return duration_ns


def parse_size_bytes(text: str) -> int:
    """Read ``4096``, ``512K``, ``4M``, ``4MiB`` or ``1GiB``; units are powers of 1024.

    Returns bytes, at least 1; raises UsageError.
    """
    match = _SIZE.fullmatch(text)
    size = int(match[1]) << _SIZE_UNITS[(match[2] or "").lower()] if match else 0
    if not size:
        raise UsageError(f"{text!r} is not a size; write it like 4096, 512K or 4MiB")
    return size


def parse_frequency_hz(text: str) -> int:
    """Read a sampling rate in whole samples per second and CPU, 1 to 1000; raises UsageError."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_FREQUENCY_HZ:
        raise UsageError(f"{text!r} is not a sampling rate; give whole samples per second, 1 to {MAX_FREQUENCY_HZ}")
    return int(text)


def lockstep_advice(frequency_hz: int) -> str | None:
    """Warn about a rate that can fall into step with periodic work, or return None.

    Work is scheduled at whole milliseconds or at the kernel's tick of 4 ms (250 Hz). A sampler whose
    period is a multiple of that meets it at the same phase every time, and sees always or never what
    runs there. Whatever divides 250 divides 1000 too.
    """
    if 1000 % frequency_hz:
        return None
    near = sorted(range(2, MAX_FREQUENCY_HZ), key=lambda other: (abs(other - frequency_hz), other))
    better = next(other for other in near if 1000 % other)
    return (
        f"{frequency_hz} Hz falls into step with work that is periodic in whole milliseconds "
        f"and may see always or never what it does; {better} Hz does not"
    )


def argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Make a parser of this module a ``type=`` of argparse, so that the complaint names the option."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert
