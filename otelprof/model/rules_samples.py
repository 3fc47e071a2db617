"""Rules of samples and their times."""

from collections.abc import Iterator

from otelprof.errors import BadSample
from otelprof.model.rules import WHOLE, Chapter, Found, Level
from otelprof.model.shape import Shape, shape_of
from otelprof.model.view import ProfileView, SampleView, View

__all__ = ("SAMPLES", "TYPES")

SAMPLES = Chapter("Samples and time", needs="message")
TYPES = Chapter("Sample types", needs="dictionary")

PLAUSIBLE_NS = 10**18
"""September 2001; anything earlier was not meant as Unix time in nanoseconds."""

COUNT_AND_TIME_UNITS = frozenset(
    {"count", "nanoseconds", "microseconds", "milliseconds", "seconds", "ns", "us", "ms", "s"}
)


@SAMPLES.rule("R60", Level.ERROR, "every Sample has at least one value or timestamp")
def not_empty(view: View) -> Iterator[Found]:
    for profile, index, sample in view.samples():
        if not sample.values and not sample.timestamps_ns:
            yield Found(_where(profile, index), "there is neither a value nor a timestamp")


@SAMPLES.rule("R61", Level.ERROR, "a Sample with values and timestamps has as many of both")
def pairs(view: View) -> Iterator[Found]:
    for profile, index, sample in view.samples():
        values, timestamps = len(sample.values), len(sample.timestamps_ns)
        if values and timestamps and values != timestamps:
            yield Found(_where(profile, index), f"there are {values} values for {timestamps} timestamps")


@SAMPLES.rule("R62", Level.ERROR, "a Sample without timestamps has exactly one value")
def one_value(view: View) -> Iterator[Found]:
    for profile, index, sample in view.samples():
        if len(sample.values) > 1 and not sample.timestamps_ns:
            yield Found(_where(profile, index), f"there are {len(sample.values)} values and no timestamps")


@SAMPLES.rule("R63", Level.WARNING, "all Samples of one Profile have the same shape")
def one_shape(view: View) -> Iterator[Found]:
    for profile in view.profiles:
        shapes = {_shape(sample) for sample in profile.samples} - {None}
        if len(shapes) > 1:
            yield Found(profile.where, "samples with and without values or timestamps are mixed")


@SAMPLES.rule("R64", Level.WARNING, "every timestamp is in [time_unix_nano, time_unix_nano + duration_nano)")
def inside_window(view: View) -> Iterator[Found]:
    for profile, index, sample in view.samples():
        if not sample.timestamps_ns:
            continue
        start, duration = profile.message.time_unix_nano, profile.message.duration_nano
        early, late = min(sample.timestamps_ns) < start, max(sample.timestamps_ns) >= start + duration
        # Without a duration no timestamp can be inside; that is another rule's.
        if early or (late and duration):
            yield Found(
                _where(profile, index),
                "a timestamp is before the window" if early else "a timestamp is after the window",
            )


@SAMPLES.rule(
    "R65", Level.WARNING, "time_unix_nano is plausible and not after a sample, and samples take some duration"
)
def plausible_window(view: View) -> Iterator[Found]:
    for profile in view.profiles:
        start = profile.message.time_unix_nano
        if start < PLAUSIBLE_NS:
            yield Found(profile.where, f"time_unix_nano {start} is before 2001, or not in nanoseconds")
        earliest = min((min(sample.timestamps_ns) for sample in profile.samples if sample.timestamps_ns), default=None)
        if earliest is None:
            continue
        if earliest < start:
            yield Found(profile.where, "time_unix_nano is after the earliest sample")
        if not profile.message.duration_nano:
            yield Found(profile.where, "there are timestamps, but duration_nano is 0")


@SAMPLES.rule("R66", Level.NOTICE, "start times do not go back from one message of a stream to the next")
def monotonic(view: View) -> Iterator[Found]:
    start = view.start_ns()
    if view.previous_start_ns and start and start < view.previous_start_ns:
        seconds = (view.previous_start_ns - start) / 1e9
        yield Found(WHOLE, f"it starts {seconds:.9g} s before the one before it")


@SAMPLES.rule("R67", Level.WARNING, "no two Samples of a Profile have the same stack, attributes and link")
def identities_unique(view: View) -> Iterator[Found]:
    for profile in view.profiles:
        seen: set[tuple[int, tuple[int, ...], int]] = set()
        for index, sample in enumerate(profile.samples):
            identity = sample.stack, tuple(sorted(sample.attributes)), sample.link
            if identity in seen:
                yield Found(_where(profile, index), "an earlier sample has the same stack, attributes and link")
            seen.add(identity)


@TYPES.rule(
    "R68", Level.WARNING, "a Profile says what it counts, all or nothing of its period, and counts nothing negative"
)
def types_set(view: View) -> Iterator[Found]:
    for profile in view.profiles:
        message = profile.message
        if not message.sample_type.type_strindex or not message.sample_type.unit_strindex:
            yield Found(profile.where, "sample_type lacks a type or a unit")
        period_type = bool(message.period_type.type_strindex), bool(message.period_type.unit_strindex)
        if (
            message.period < 0
            or period_type not in ((True, True), (False, False))
            or bool(message.period) != any(period_type)
        ):
            yield Found(profile.where, "of period_type and period only a part is set, or the period is negative")
        if view.string(message.sample_type.unit_strindex) in COUNT_AND_TIME_UNITS:
            for index, sample in enumerate(profile.samples):
                if sample.values and min(sample.values) < 0:
                    yield Found(_where(profile, index), "a count or time is negative")


def _shape(sample: SampleView) -> Shape | None:
    try:
        return shape_of(sample.values, sample.timestamps_ns)
    except BadSample:
        return None


def _where(profile: ProfileView, index: int) -> str:
    return f"{profile.where}.samples[{index}]"
