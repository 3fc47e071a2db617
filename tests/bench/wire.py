"""Bytes that a sample takes in an OTLP request."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from otelprof.formats.registry import open_profiles
from otelprof.model.reader import read_samples
from tests.bench.figures import Figure, Measurement
from tests.bench.load import busy_cores
from tests.gates import require_kernel

__all__ = ("MEASUREMENT",)

_OTELPROF = Path(sys.executable).with_name("otelprof")
_WINDOW_S = 5


def _payloads(frequency_hz: int, seconds: int) -> list[tuple[bytes, int]]:
    """Record with the agent's windows; each window as it would be sent, and its number of samples."""
    with TemporaryDirectory() as folder, busy_cores(2):
        output = Path(folder, "x.otlp.jsonl")
        options = ["-d", str(seconds), "-F", str(frequency_hz), "--window", str(_WINDOW_S), "-o", str(output)]
        subprocess.run([_OTELPROF, "record", *options], check=True, stderr=subprocess.DEVNULL)
        return [
            (message.SerializeToString(), sum(sample.count for sample in read_samples(message)))
            for message in open_profiles(output)
        ]


def _measure(quick: bool) -> Iterator[Figure]:
    require_kernel()
    for frequency_hz in (19, 99):
        # The last window has only what was left over.
        whole_windows = _payloads(frequency_hz, 10 if quick else 30)[: 2 if quick else 6]
        plain = [len(payload) / samples for payload, samples in whole_windows]
        zipped = [len(gzip.compress(payload)) / samples for payload, samples in whole_windows]
        yield Figure(f"{frequency_hz} Hz, names and host attributes on", "bytes", plain, peer="64 bytes without names")
        yield Figure(f"{frequency_hz} Hz, after gzip", "bytes", zipped)


MEASUREMENT = Measurement(
    "wire",
    "`otelprof record -d 30 --window 5` with two busy cores: serialised OTLP of each window, as it is sent in one"
    " request with a dictionary of its own, divided by its samples. There is no option yet to leave names out.",
    _measure,
)
