"""Plain stacks: what the builder takes and the reader gives back."""

from dataclasses import dataclass
from typing import TypeAlias

__all__ = (
    "CPU_SAMPLES",
    "AttributeValue",
    "Attributes",
    "Frame",
    "Function",
    "Line",
    "Mapping",
    "Resource",
    "SampleType",
    "Stack",
)

AttributeValue: TypeAlias = str | bool | int | float | bytes | tuple["AttributeValue", ...]
"""Value of an attribute; a tuple is an OTLP array."""

Attributes: TypeAlias = tuple[tuple[str, AttributeValue], ...]
"""Attributes in the order they were given, keys unique."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapped part of a binary, in the ELF file's own address space (no ASLR)."""

    path: str
    memory_start: int = 0
    memory_limit: int = 0
    file_offset: int = 0
    build_id_gnu: str = ""
    build_id_go: str = ""
    build_id_htlhash: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """A function; ``system_name`` is the mangled name where it differs."""

    name: str
    system_name: str = ""
    filename: str = ""
    start_line: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A place in a function; ``line`` and ``column`` are 1-based, 0 = unknown."""

    function: Function
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: OTLP's Location.

    ``type`` is a ``profile.frame.type`` (``native``, ``kernel``, ``cpython`` …), "" when unknown.
    ``lines[0]`` is the innermost inlined function. Return addresses are already decremented by 1.
    """

    type: str
    address: int = 0
    mapping: Mapping | None = None
    lines: tuple[Line, ...] = ()


Stack: TypeAlias = tuple[Frame, ...]
"""Frames, leaf first."""


@dataclass(frozen=True, slots=True)
class Resource:
    """The attributes of one process (or container, or host)."""

    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SampleType:
    """What a Profile counts, and how often samples were taken (``period`` 0 = not periodic)."""

    type: str
    unit: str
    period_type: str = ""
    period_unit: str = ""
    period: int = 0


CPU_SAMPLES = SampleType("samples", "count", "cpu", "nanoseconds", 0)
"""On-CPU samples as the OpenTelemetry eBPF profiler labels them; set ``period`` with ``dataclasses.replace``."""
