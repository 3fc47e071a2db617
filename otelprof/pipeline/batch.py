"""The immutable unit that every exporter reads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

__all__ = ("Batch",)


@dataclass(frozen=True, slots=True)
class Batch:
    """One closed window: serialised OTLP ``ProfilesData`` and what is known of it.

    ``payload`` is also a valid ``ExportProfilesServiceRequest`` (the field numbers are the same).
    ``sequence`` counts windows from 0; ``start_ns`` and ``end_ns`` are Unix times of [start, end).
    """

    sequence: int
    start_ns: int
    end_ns: int
    sample_count: int
    payload: bytes

    def message(self) -> "ProfilesData":
        """Parse the payload; the caller gets a message of its own."""
        from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

        return ProfilesData.FromString(self.payload)
