"""Runs of the installed ``otelprof record``, and what they wrote."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from otelprof.formats.registry import open_profiles
from otelprof.model.reader import ReadSample, read_samples

__all__ = ("OTELPROF", "Recorded", "function_counts", "names", "record", "sample_count", "samples_of")

OTELPROF = Path(sys.executable).with_name("otelprof")

_CLOSING = re.compile(
    r"recorded (?P<seconds>[\d.]+) s: captured (?P<captured>\d+), own (?P<own>\d+), lost (?P<lost>\d+), "
    r"complete stacks (?P<complete>[\d.]+ %|none)"
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The closing line of a recording, and its exit code."""

    exit_code: int
    seconds: float
    captured: int
    own: int
    lost: int
    complete_percent: float
    stdout: str
    stderr: str


def record(
    *arguments: str | Path, program: Sequence[str | Path] = (), environment: dict[str, str] | None = None
) -> Recorded:
    """Run ``otelprof record`` to its end; it must have written its closing line."""
    command = [str(OTELPROF), "record", *map(str, arguments), *(["--", *map(str, program)] if program else [])]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=280, env={**os.environ, **(environment or {})}, check=False
    )
    closing = _CLOSING.search(result.stderr)
    assert closing, f"{command} ended with {result.returncode}: {result.stderr}"
    complete = closing["complete"]
    return Recorded(
        exit_code=result.returncode,
        seconds=float(closing["seconds"]),
        captured=int(closing["captured"]),
        own=int(closing["own"]),
        lost=int(closing["lost"]),
        complete_percent=0.0 if complete == "none" else float(complete.removesuffix(" %")),
        stdout=result.stdout,
        stderr=result.stderr,
    )


def samples_of(path: Path) -> Iterator[ReadSample]:
    """Every sample of a file."""
    for message in open_profiles(path):
        yield from read_samples(message)


def sample_count(path: Path) -> int:
    """How many samples a file holds; other columns of the same samples, such as time, do not count."""
    return sum(sample.total for sample in samples_of(path) if sample.sample_type.type == "samples")


def names(sample: ReadSample) -> list[str]:
    """Function names of a stack, leaf first, "" where there is none."""
    return [frame.lines[0].function.name if frame.lines else "" for frame in sample.stack]


def function_counts(path: Path, wanted: Sequence[str]) -> Counter[str]:
    """How many samples have each of some functions anywhere in their stack."""
    counts: Counter[str] = Counter()
    for sample in samples_of(path):
        for name in set(names(sample)) & set(wanted):
            counts[name] += sample.count
    return counts
