"""Folded stacks: ``process;thread;root;...;leaf count``, one line for each distinct stack.

The text that flame graph tools read and people grep. Kernel functions end in ``_[k]``, as those tools
expect for their colours.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.errors import BadProfile, BadSample
from otelprof.formats.frames import frame_labels
from otelprof.formats.groups import process_label, thread_label
from otelprof.formats.limits import read_line
from otelprof.formats.selection import read_displayed
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.stack import CPU_SAMPLES, Frame, Function, Line, Resource, Stack

__all__ = ("read_folded", "write_folded")

_KERNEL_MARK = "_[k]"
_UNKNOWN = "[unknown]"

_COUNT = re.compile("[0-9]{1,19}")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that end a line, or act on a terminal that shows one."""


def write_folded(stream: BinaryIO, messages: Iterable[ProfilesData]) -> None:
    """Write the samples of the first sample type, sorted, as UTF-8.

    Every line begins with the names of process and thread, unless the messages know neither
    (samples read from another tool's file). ``;`` within a name becomes ``:``.
    """
    counts: Counter[str] = Counter()
    for group, stack, count in _grouped(messages):
        counts[";".join((*group, *_names(stack))) or _UNKNOWN] += count
    for line, count in sorted(counts.items()):
        stream.write(f"{line} {count}\n".encode())


def read_folded(stream: BinaryIO) -> Iterator[ProfilesData]:
    """Read folded stacks as one message without a time; every name becomes a frame.

    Raises BadProfile, naming the line, when one does not end in a count.
    """
    builder = ProfilesBuilder(start_ns=0, end_ns=0)
    resource = Resource(())
    frames: dict[str, Frame] = {}
    number = 0
    while line := read_line(stream):
        number += 1
        text = line.decode(errors="replace").strip()
        if not text:
            continue
        names, _, count = text.rpartition(" ")
        if not names or not _COUNT.fullmatch(count):
            raise BadProfile(f"line {number} does not end in a space and a count")
        stack = tuple([_frame(frames, name) for name in reversed(names.split(";"))])
        try:
            builder.add(resource, CPU_SAMPLES, stack, values=(int(count),))
        except BadSample as error:
            raise BadProfile(f"line {number}: {error}") from error
    yield builder.build()


def _grouped(messages: Iterable[ProfilesData]) -> Iterator[tuple[tuple[str, ...], Stack, int]]:
    """Yield group names, stack and count of each distinct process, thread and stack."""
    stacks: dict[int, Stack] = {}
    counts: Counter[tuple[str, str, int]] = Counter()
    for sample, total in read_displayed(messages):
        # The reader gives equal stacks of a message as one object; keeping it keeps its id.
        stacks[id(sample.stack)] = sample.stack
        counts[process_label(sample.resource), thread_label(sample.attributes), id(sample.stack)] += total
    for (process, thread, stack_id), count in counts.items():
        group = (_clean(process), _clean(thread)) if process or thread else ()
        yield group, stacks[stack_id], count


def _names(stack: Stack) -> Iterator[str]:
    """Name the functions of a stack, root first."""
    for frame in reversed(stack):
        mark = _KERNEL_MARK if frame.type == "kernel" else ""
        for label in reversed(frame_labels(frame)):
            yield _clean(label) + mark


def _clean(name: str) -> str:
    """Take from a name what would end it or its line."""
    return _CONTROL.sub(" ", name.replace(";", ":")).strip() or _UNKNOWN


def _frame(frames: dict[str, Frame], name: str) -> Frame:
    frame = frames.get(name)
    if frame is None:
        unmarked = name.removesuffix(_KERNEL_MARK) or name
        function = Function(unmarked.strip() or _UNKNOWN)
        frame = frames[name] = Frame("" if unmarked == name else "kernel", lines=(Line(function),))
    return frame
