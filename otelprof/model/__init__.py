"""Build, read, merge and check OTLP ProfilesData; needs neither root nor kernel.

A name is imported when it is first used: whoever takes a plain stack from here does not pay for protobuf. Two
functions are not among them because modules of this package have their names: ``otelprof.model.check.check`` and
``otelprof.model.merge.merge``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otelprof.model.builder import ProfilesBuilder
    from otelprof.model.check import RULES, check_stream
    from otelprof.model.link import Link
    from otelprof.model.reader import ReadSample, parse_profiles, read_samples
    from otelprof.model.rules import Breach, Level, Rule
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
    "RULES",
    "AttributeValue",
    "Attributes",
    "Breach",
    "Frame",
    "Function",
    "Level",
    "Line",
    "Link",
    "Mapping",
    "ProfilesBuilder",
    "ReadSample",
    "Resource",
    "Rule",
    "SampleType",
    "Stack",
    "check_stream",
    "parse_profiles",
    "read_samples",
)

_MODULES = {
    "builder": ("ProfilesBuilder",),
    "check": (
        "RULES",
        "check_stream",
    ),
    "link": ("Link",),
    "reader": (
        "ReadSample",
        "parse_profiles",
        "read_samples",
    ),
    "rules": (
        "Breach",
        "Level",
        "Rule",
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
