"""One serialised ``ProfilesData``: the bytes that OTLP also sends."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.formats.limits import read_whole
from otelprof.model.merge import merge
from otelprof.model.reader import parse_profiles

__all__ = ("read_otlp", "write_otlp")


def write_otlp(stream: BinaryIO, messages: Iterable[ProfilesData]) -> None:
    """Write the messages as one; several are merged, since each has a dictionary of its own."""
    together = list(messages)
    message = together[0] if len(together) == 1 else merge(together)
    stream.write(message.SerializeToString(deterministic=True))


def read_otlp(stream: BinaryIO) -> Iterator[ProfilesData]:
    """Read the one message of a file; raises BadProfile."""
    yield parse_profiles(read_whole(stream))
