"""The OTLP profiles messages, once it is certain that they are the ones this code was written for.

The signal is still in development: releases of opentelemetry-proto before 1.43 encode another wire format under
the same names, and receivers decode it as garbage. Every module of the model takes the messages from here, so
that none of them can be used with another layout.
"""

from collections.abc import Mapping

from otelprof.errors import MissingFeature

try:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.profiles.v1development import profiles_pb2
    from opentelemetry.proto.profiles.v1development.profiles_pb2 import (
        Profile,
        ProfilesData,
        ProfilesDictionary,
        ResourceProfiles,
        Sample,
        ScopeProfiles,
    )
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
except ImportError as error:
    raise MissingFeature(
        f"OTLP profiles need opentelemetry-proto>=1.43,<2, which cannot be imported here: {error}"
    ) from error

__all__ = (
    "LAYOUT",
    "AnyValue",
    "InstrumentationScope",
    "KeyValue",
    "Profile",
    "ProfilesData",
    "ProfilesDictionary",
    "ResourceMessage",
    "ResourceProfiles",
    "Sample",
    "ScopeProfiles",
    "assert_layout",
)

LAYOUT: Mapping[str, Mapping[str, int]] = {
    "ProfilesData": {"resource_profiles": 1, "dictionary": 2},
    "ProfilesDictionary": {
        "mapping_table": 1,
        "location_table": 2,
        "function_table": 3,
        "link_table": 4,
        "string_table": 5,
        "attribute_table": 6,
        "stack_table": 7,
    },
    "ResourceProfiles": {"resource": 1, "scope_profiles": 2, "schema_url": 3},
    "ScopeProfiles": {"scope": 1, "profiles": 2, "schema_url": 3},
    "Profile": {
        "sample_type": 1,
        "samples": 2,
        "time_unix_nano": 3,
        "duration_nano": 4,
        "period_type": 5,
        "period": 6,
        "profile_id": 7,
        "dropped_attributes_count": 8,
        "original_payload_format": 9,
        "original_payload": 10,
        "attribute_indices": 11,
    },
    "Sample": {"stack_index": 1, "attribute_indices": 2, "link_index": 3, "values": 4, "timestamps_unix_nano": 5},
    "ValueType": {"type_strindex": 1, "unit_strindex": 2},
    "Mapping": {
        "memory_start": 1,
        "memory_limit": 2,
        "file_offset": 3,
        "filename_strindex": 4,
        "attribute_indices": 5,
    },
    "Stack": {"location_indices": 1},
    "Location": {"mapping_index": 1, "address": 2, "lines": 3, "attribute_indices": 4},
    "Line": {"function_index": 1, "line": 2, "column": 3},
    "Function": {"name_strindex": 1, "system_name_strindex": 2, "filename_strindex": 3, "start_line": 4},
    "Link": {"trace_id": 1, "span_id": 2},
    "KeyValueAndUnit": {"key_strindex": 1, "value": 2, "unit_strindex": 3},
}
"""Field numbers by message and field: opentelemetry-proto (specification) v1.10.0 and v1.11.0."""


def assert_layout(layout: Mapping[str, Mapping[str, int]] = LAYOUT) -> None:
    """Compare the installed messages with ``layout``; raises MissingFeature naming the first difference."""
    messages = profiles_pb2.DESCRIPTOR.message_types_by_name
    for message, fields in layout.items():
        installed = messages.get(message)
        for field, number in fields.items():
            found = installed and installed.fields_by_name.get(field)
            if not found or found.number != number:
                raise MissingFeature(
                    f"the installed opentelemetry-proto has another layout of OTLP profiles ({message}.{field} is not "
                    f"field {number}); install opentelemetry-proto>=1.43,<2"
                )


assert_layout()
