"""Build, read, merge and check OTLP ProfilesData; needs neither root nor kernel.

A name is imported when it is first used: whoever takes a plain stack from here does not pay for protobuf.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otelprof.model.builder import ProfilesBuilder
    from otelprof.model.link import Link
    from otelprof.model.reader import ReadSample, parse_profiles, read_samples
    from otelprof.model.stack import (
        CPU_SAMPLES,
        Attributes,
        AttributeValue,
        Frame,
        Function,
        Line,
        Mapping,
        Resource,
        SampleType,
        Stack,
    )

__all__ = (
    "CPU_SAMPLES",
    "AttributeValue",
    "Attributes",
    "Frame",
    "Function",
    "Line",
    "Link",
    "Mapping",
    "ProfilesBuilder",
    "ReadSample",
    "Resource",
    "SampleType",
    "Stack",
    "parse_profiles",
    "read_samples",
)

_MODULES = {
    "builder": ("ProfilesBuilder",),
    "link": ("Link",),
    "reader": (
        "ReadSample",
        "parse_profiles",
        "read_samples",
    ),
    "stack": (
        "CPU_SAMPLES",
        "Attributes",
        "AttributeValue",
        "Frame",
        "Function",
        "Line",
        "Mapping",
        "Resource",
        "SampleType",
        "Stack",
    ),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"otelprof.model.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
