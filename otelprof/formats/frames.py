"""Display names and categories of frames, the same in every format, table and page."""

from typing import Literal, TypeAlias

from otelprof.model.stack import Frame, Line

__all__ = ("FrameCategory", "base_name", "frame_category", "frame_label", "frame_labels", "line_label")

FrameCategory: TypeAlias = Literal["kernel", "native", "runtime", "unknown"]
"""Whose code a frame is: the kernel's, compiled code, a language runtime's, or nobody knows."""

_UNKNOWN = "[unknown]"

_COMPILED = frozenset({"native", "go", "rust"})

_UNIDENTIFIED = frozenset({"", "unknown", "abort-marker"})
"""No type, and the two custom types with which the OpenTelemetry eBPF profiler marks failed unwinding."""


def frame_label(frame: Frame) -> str:
    """Name one frame: its innermost function, else ``binary+0xaddress``, else ``[kernel]`` or ``[unknown]``.

    The address is the one in the ELF file's own address space, as ``addr2line`` takes it.
    """
    if frame.lines:
        function = frame.lines[0].function
        if function.name or function.system_name or not frame.address:
            return line_label(frame.lines[0])
        binary = function.filename
    else:
        binary = frame.mapping.path if frame.mapping is not None else ""
    if binary:
        return f"{base_name(binary)}+{frame.address:#x}"
    if frame.type in _COMPILED or frame.type in _UNIDENTIFIED:
        return _UNKNOWN
    return f"[{frame.type}]"


def frame_labels(frame: Frame) -> tuple[str, ...]:
    """Name every function of a frame, innermost inlined one first; at least one name."""
    if len(frame.lines) > 1:
        return tuple(line_label(line) for line in frame.lines)
    return (frame_label(frame),)


def line_label(line: Line) -> str:
    """Name one function: its name, else its mangled name, else its source file."""
    function = line.function
    return function.name or function.system_name or base_name(function.filename) or _UNKNOWN


def frame_category(frame: Frame) -> FrameCategory:
    """Tell whose code a frame is; compiled Go and Rust count as native."""
    if frame.type == "kernel":
        return "kernel"
    if frame.type in _COMPILED:
        return "native"
    if frame.type in _UNIDENTIFIED:
        return "unknown" if frame.mapping is None else "native"
    return "runtime"


def base_name(path: str) -> str:
    """Give the last part of a path; names such as ``[vdso]`` are their own last part."""
    return path.rpartition("/")[2] or path
