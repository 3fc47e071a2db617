"""What the flame graph page shows, as compact tables: strings, frames, stacks, processes, threads, rows.

Samples are merged here, in time linear in the frames read, so that the page only regroups them: a row says how many
samples one thread spent in one stack. Stacks are sorted from root to leaf: those that begin alike are neighbours, every
node of a flame graph is a range of them, and the page never builds the nodes that it does not draw.
"""

import json
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from otelprof.formats.flamegraph.text import visible_text
from otelprof.formats.frames import FrameCategory, base_name, frame_category, frame_label, line_label
from otelprof.formats.groups import process_label, text_attribute, thread_label
from otelprof.model.reader import ReadSample
from otelprof.model.stack import Attributes, Frame, Line, Resource, Stack

__all__ = ("CATEGORIES", "Payload", "make_payload")

CATEGORIES: tuple[FrameCategory, ...] = ("native", "kernel", "runtime", "unknown")
"""Whose code a frame is; the order is the one of the page's legend."""

_OUTCOME = "otelprof.stack.outcome"
"""Sample attribute that only stacks have which are not complete."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What a page shows.

    ``about``:

    ========== =================================================================================================
    title      what was recorded; "" when nobody said
    host       name of the host; "" when unknown or more than one
    start, end the time covered, in milliseconds since 1970 (UTC); 0 when unknown
    unit       what rows count: ``samples``, or the unit of another sample type
    period_ns  CPU time that one sample stands for; 0 when unknown
    incomplete samples whose stack could not be followed to its root
    lost       samples lost before they were recorded; null when unknown
    strings    every text, named by its index in the columns
    ========== =================================================================================================

    ``columns``, equally long where the word before the dot is the same:

    ======================== ===================================================================================
    frame.name, .binary      function; path of the file it is in
    frame.category, .type    index of CATEGORIES; ``profile.frame.type``
    frame.source, .line,     source file; first and last line sampled, 0 when unknown
    .line_end
    frame.inlined            1 when it was never seen other than inlined
    stack.length             number of frames
    step.frame               the frames of all stacks, one after the other, each from root to leaf
    process.name, .pid       ``pid`` is 0 when unknown
    thread.process, .name,   in the order of processes; ``tid`` is 0 when unknown
    .tid
    row.thread, .stack,      in the order of threads, then stacks
    .count
    ======================== ===================================================================================
    """

    about: dict[str, object]
    columns: dict[str, list[int]]

    def encode(self) -> bytes:
        """Serialise: the size of the first part (4 bytes, little endian), ``about`` as JSON, then the columns.

        ``about.columns`` lists name, type and length of each. Every part begins at a multiple of 8 bytes and numbers
        are little endian, so that a browser uses the columns where they lie.
        """
        packed = {name: _pack(column) for name, column in self.columns.items()}
        listed = [[name, column.typecode, len(column)] for name, column in packed.items()]
        text = json.dumps({**self.about, "columns": listed}, separators=(",", ":")).encode()
        text += b" " * (-(len(text) + 4) % 8)
        parts = [struct.pack("<I", len(text)), text]
        for column in packed.values():
            data = column.tobytes()
            parts += [data, bytes(-len(data) % 8)]
        return b"".join(parts)


def make_payload(samples: Iterable[tuple[ReadSample, int]], *, title: str = "", lost: int | None = None) -> Payload:
    """Merge samples of one sample type, each with its total, into what the page shows.

    Raises what reading the samples raises.
    """
    tables = _Tables()
    for sample, total in samples:
        tables.add(sample, total)
    return tables.payload(visible_text(title), lost)


def _pack(column: list[int]) -> "array[int] | array[float]":
    """Give a column the narrowest type that its values fit: unsigned of 1, 2 or 4 bytes, else 8-byte floats."""
    largest = max(column, default=0)
    packed: array[int] | array[float]
    if largest < 1 << 32:
        packed = array("B" if largest < 1 << 8 else "H" if largest < 1 << 16 else "I", column)
    else:
        packed = array("d", column)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed


class _Strings:
    """Texts as numbers."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._index: dict[str, int] = {}

    def add(self, text: str) -> int:
        index = self._index.get(text)
        if index is None:
            index = self._index[text] = len(self.texts)
            self.texts.append(visible_text(text))
        return index


class _Frames:
    """Frames as they are displayed: one for each function of each binary, whatever line or address was sampled."""

    COLUMNS = ("name", "category", "type", "binary", "source", "line", "line_end", "inlined")

    def __init__(self, strings: _Strings) -> None:
        self.columns: dict[str, list[int]] = {column: [] for column in self.COLUMNS}
        self._strings = strings
        self._index: dict[tuple[int, ...], int] = {}

    def add(self, frame: Frame) -> tuple[int, ...]:
        """Give the displayed frames of a location, outermost function first."""
        if not frame.lines:
            return (self._add(frame, _nameless(frame), None, inlined=False),)
        outermost = len(frame.lines) - 1
        return tuple(
            self._add(frame, line_label(frame.lines[place]), frame.lines[place], inlined=place != outermost)
            for place in range(outermost, -1, -1)
        )

    def _add(self, frame: Frame, label: str, line: Line | None, *, inlined: bool) -> int:
        text = self._strings.add
        key = (
            text(label),
            CATEGORIES.index(frame_category(frame)),
            text(frame.type),
            text(frame.mapping.path if frame.mapping else ""),
            text(line.function.filename if line else ""),
        )
        number = line.line or line.function.start_line if line else 0
        index = self._index.get(key)
        if index is None:
            index = self._index[key] = len(self._index)
            for column, value in zip(self.columns.values(), (*key, number, number, int(inlined)), strict=True):
                column.append(value)
        else:
            self._widen(index, number, inlined=inlined)
        return index

    def _widen(self, index: int, number: int, *, inlined: bool) -> None:
        first, last = self.columns["line"], self.columns["line_end"]
        if number:
            first[index] = min(first[index] or number, number)
            last[index] = max(last[index], number)
        if not inlined:
            self.columns["inlined"][index] = 0


class _Stacks:
    """Stacks as they are displayed."""

    def __init__(self, frames: _Frames) -> None:
        self._frames = frames
        self._index: dict[tuple[int, ...], int] = {}
        # Keyed by identity, since hashing a frame or a stack visits all of it; what has its id here is kept alive.
        self._displayed: dict[int, int] = {}
        self._known: dict[int, int] = {}
        self._alive: list[Frame | Stack] = []
        self._inlined: list[tuple[int, ...]] = []

    def add(self, stack: Stack) -> int:
        known = self._known.get(id(stack))
        if known is None:
            path = self._display(stack)
            known = self._known[id(stack)] = self._index.setdefault(path, len(self._index))
            self._alive.append(stack)
        return known

    def _display(self, stack: Stack) -> tuple[int, ...]:
        """Give the displayed frames of a stack, root first."""
        displayed = self._displayed
        try:
            path = tuple(map(displayed.__getitem__, map(id, reversed(stack))))
        except KeyError:
            for frame in stack:
                if id(frame) not in displayed:
                    displayed[id(frame)] = self._display_frame(frame)
                    self._alive.append(frame)
            return self._display(stack)
        if min(path, default=0) >= 0:
            return path
        return tuple(chain.from_iterable(self._inlined[~step] if step < 0 else (step,) for step in path))

    def _display_frame(self, frame: Frame) -> int:
        """Give the displayed frame of a location; where it is several, the complement of their place in a list."""
        frames = self._frames.add(frame)
        if len(frames) == 1:
            return frames[0]
        self._inlined.append(frames)
        return ~(len(self._inlined) - 1)

    def columns(self) -> tuple[dict[str, list[int]], list[int]]:
        """Give the columns in sorted order, and the place of each stack in them."""
        order = sorted(self._index)
        place = {path: index for index, path in enumerate(order)}
        columns = {"stack.length": list(map(len, order)), "step.frame": list(chain.from_iterable(order))}
        return columns, [place[path] for path in self._index]


class _Threads:
    """Processes and their threads."""

    def __init__(self, strings: _Strings) -> None:
        self._strings = strings
        self._processes: dict[tuple[int, int, object], int] = {}
        self._threads: dict[tuple[int, int, int], int] = {}
        self._by_identity: dict[int, tuple[Resource, int]] = {}

    def add(self, resource: Resource, attributes: Attributes) -> int:
        """Give the number of the thread that a sample was taken of."""
        known = self._by_identity.get(id(resource))
        if known is None:
            known = self._by_identity[id(resource)] = (resource, self._add_process(resource))
        key = (known[1], _number(attributes, "thread.id"), self._strings.add(thread_label(attributes)))
        return self._threads.setdefault(key, len(self._threads))

    def _add_process(self, resource: Resource) -> int:
        # The time of creation tells two processes apart that had the same id one after the other.
        created = [value for name, value in resource.attributes if name == "process.creation.time"]
        pid = _number(resource.attributes, "process.pid")
        key = (self._strings.add(process_label(resource)), pid, created[0] if created else None)
        return self._processes.setdefault(key, len(self._processes))

    def process_columns(self) -> dict[str, list[int]]:
        keys = self._processes
        return {"process.name": [name for name, _, _ in keys], "process.pid": [pid for _, pid, _ in keys]}

    def columns(self) -> tuple[dict[str, list[int]], list[int]]:
        """Give the columns in the order of processes, and the place of each thread in them."""
        order = sorted(self._threads)
        place = {key: index for index, key in enumerate(order)}
        columns = {
            "thread.process": [process for process, _, _ in order],
            "thread.name": [name for _, _, name in order],
            "thread.tid": [tid for _, tid, _ in order],
        }
        return columns, [place[key] for key in self._threads]


class _Tables:
    """All tables, as they fill."""

    def __init__(self) -> None:
        self.strings = _Strings()
        self.frames = _Frames(self.strings)
        self.stacks = _Stacks(self.frames)
        self.threads = _Threads(self.strings)
        self.rows: Counter[tuple[int, int]] = Counter()
        self.incomplete = 0
        self.unit = "samples"
        self.period_ns = 0
        self.hosts: set[str] = set()
        self.start_ns = 0
        self.end_ns = 0

    def add(self, sample: ReadSample, total: int) -> None:
        thread = self.threads.add(sample.resource, sample.attributes)
        self.rows[thread, self.stacks.add(sample.stack)] += total
        if any(name == _OUTCOME for name, _ in sample.attributes):
            self.incomplete += total
        kind = sample.sample_type
        if kind.unit != "count":
            self.unit = kind.unit
        if (kind.period_type, kind.period_unit) == ("cpu", "nanoseconds"):
            self.period_ns = kind.period
        self.hosts.add(text_attribute(sample.resource.attributes, "host.name"))
        if sample.start_ns:
            self.start_ns = min(self.start_ns or sample.start_ns, sample.start_ns)
            self.end_ns = max(self.end_ns, sample.start_ns + sample.duration_ns)

    def payload(self, title: str, lost: int | None) -> Payload:
        stacks, stack_places = self.stacks.columns()
        threads, thread_places = self.threads.columns()
        rows = sorted((thread_places[thread], stack_places[stack], n) for (thread, stack), n in self.rows.items())
        hosts = self.hosts - {""}
        about: dict[str, object] = {
            "title": title,
            "host": visible_text(hosts.pop()) if len(hosts) == 1 else "",
            "start": self.start_ns // 1_000_000,
            "end": self.end_ns // 1_000_000,
            "unit": visible_text(self.unit),
            "period_ns": self.period_ns,
            "incomplete": self.incomplete,
            "lost": lost,
            "strings": self.strings.texts,
        }
        columns = {
            **{f"frame.{name}": column for name, column in self.frames.columns.items()},
            **stacks,
            **self.threads.process_columns(),
            **threads,
            "row.thread": [thread for thread, _, _ in rows],
            "row.stack": [stack for _, stack, _ in rows],
            "row.count": [count for _, _, count in rows],
        }
        return Payload(about, columns)


def _nameless(frame: Frame) -> str:
    """Name a frame without a function by its binary alone: by address, one function would be many narrow frames."""
    binary = base_name(frame.mapping.path) if frame.mapping else ""
    return f"[{binary.strip('[]')}]" if binary else frame_label(frame)


def _number(attributes: Attributes, key: str) -> int:
    """Give the value of an integer attribute, 0 when it is absent or of another type."""
    for name, value in attributes:
        if name == key:
            return value if type(value) is int else 0
    return 0
