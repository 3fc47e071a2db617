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
from otelprof.formats.content_ids import content_ids
from otelprof.formats.frames import frame_labels
from otelprof.formats.groups import process_label, thread_label
from otelprof.formats.limits import read_whole
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
    """Write the samples of one sample type (``read_displayed`` says which), sorted, as UTF-8.

    Every line begins with the names of process and thread, unless the messages know neither
    (samples read from another tool's file). ``;`` within a name becomes ``:``.
    """
    texts = _StackTexts()
    counts: Counter[tuple[str, str]] = Counter()
    for sample, total in read_displayed(messages):
        process, thread = process_label(sample.resource), thread_label(sample.attributes)
        group = f"{_clean(process)};{_clean(thread)}" if process or thread else ""
        counts[group, texts.text(sample.stack)] += total
    for parts, count in sorted(counts.items()):
        line = ";".join(filter(None, parts)) or _UNKNOWN
        stream.write(f"{line} {count}\n".encode())


def read_folded(stream: BinaryIO) -> Iterator[ProfilesData]:
    """Read folded stacks as one message without a time; every name becomes a frame.

    Raises BadProfile, naming the line, when one does not end in a count.
    """
    data = read_whole(stream)
    builder = ProfilesBuilder(start_ns=0, end_ns=0, id_source=content_ids(data))
    resource = Resource(())
    frames: dict[str, Frame] = {}
    for number, line in enumerate(data.splitlines(), start=1):
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


class _StackTexts:
    """Folded stacks without their groups; a stack or frame object seen before costs one look-up."""

    def __init__(self) -> None:
        self._frames: dict[int, str] = {}
        self._stacks: dict[int, tuple[Stack, str]] = {}

    def text(self, stack: Stack) -> str:
        """Name the functions of a stack, root first."""
        known = self._stacks.get(id(stack))
        if known is None:
            # The stack is kept, and so are its frames: no other object gets their ids meanwhile.
            known = self._stacks[id(stack)] = (stack, ";".join([self._frame(frame) for frame in reversed(stack)]))
        return known[1]

    def _frame(self, frame: Frame) -> str:
        text = self._frames.get(id(frame))
        if text is None:
            mark = _KERNEL_MARK if frame.type == "kernel" else ""
            names = [_clean(label) + mark for label in reversed(frame_labels(frame))]
            text = self._frames[id(frame)] = ";".join(names)
        return text


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
