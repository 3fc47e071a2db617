"""Options that say how to sample, the same for every command that does."""

import argparse
import logging

from otelprof.quantities import argument, lockstep_advice, parse_duration_ns, parse_frequency_hz

__all__ = ("add_sampling_arguments", "warn_of_lockstep")

_DEFAULT_FREQUENCY_HZ = 19
"""A prime: 20 Hz falls into step with work that is periodic in tens of milliseconds."""

_logger = logging.getLogger(__name__)


def add_sampling_arguments(parser: argparse.ArgumentParser, *, window_ns: int) -> None:
    """Declare ``--frequency`` (Hz) and ``--window`` (arrives in ns)."""
    parser.add_argument(
        "-F",
        "--frequency",
        type=argument(parse_frequency_hz),
        default=_DEFAULT_FREQUENCY_HZ,
        metavar="HZ",
        help="samples per second and CPU, 1 to 1000 (default: %(default)s)",
    )
    parser.add_argument(
        "--window",
        type=argument(parse_duration_ns),
        default=window_ns,
        metavar="TIME",
        help=f"length of one window of samples (default: {window_ns // 10**9}s)",
    )


def warn_of_lockstep(frequency_hz: int) -> None:
    """Warn about a rate that divides common periods."""
    if advice := lockstep_advice(frequency_hz):
        _logger.warning(advice)
