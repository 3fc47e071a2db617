"""Which samples a format shows that has room for one kind of value only."""

from collections.abc import Iterable, Iterator

from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.model.reader import ReadSample, read_samples
from otelprof.model.stack import CPU_SAMPLES

__all__ = ("read_displayed",)


def read_displayed(messages: Iterable[ProfilesData]) -> Iterator[tuple[ReadSample, int]]:
    """Yield the samples of one sample type, each with its total: (samples, count) if any has it, else the first."""
    together = list(messages)
    cpu = (CPU_SAMPLES.type, CPU_SAMPLES.unit)
    displayed = cpu if any(cpu in _sample_types(message) for message in together) else None
    for message in together:
        for sample in read_samples(message):
            kind = (sample.sample_type.type, sample.sample_type.unit)
            displayed = displayed or kind
            if kind == displayed:
                yield sample, sample.total


def _sample_types(message: ProfilesData) -> Iterator[tuple[str, str]]:
    """Yield type and unit of every Profile that has samples; indices out of range are left to the reader."""
    strings = message.dictionary.string_table
    known = range(len(strings))
    for resource_profiles in message.resource_profiles:
        for scope_profiles in resource_profiles.scope_profiles:
            for profile in scope_profiles.profiles:
                kind = profile.sample_type
                if profile.samples and kind.type_strindex in known and kind.unit_strindex in known:
                    yield strings[kind.type_strindex], strings[kind.unit_strindex]
