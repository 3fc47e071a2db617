"""The tables that a flame graph page is made of, as they fill: texts, frames, stacks, processes and threads."""

from itertools import chain

from otelprof.formats.flamegraph.text import visible_text
from otelprof.formats.frames import FrameCategory, base_name, frame_category, frame_label, line_label
from otelprof.formats.groups import process_label, thread_label
from otelprof.model.stack import Attributes, Frame, Line, Resource, Stack

__all__ = ("CATEGORIES", "Frames", "Stacks", "Strings", "Threads")

CATEGORIES: tuple[FrameCategory, ...] = ("native", "kernel", "runtime", "unknown")
"""Whose code a frame is; the order is the one of the page's legend."""


class Strings:
    """Texts as numbers."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._index: dict[str, int] = {}

    def add(self, text: str) -> int:
        """Give the number of a text."""
        index = self._index.get(text)
        if index is None:
            index = self._index[text] = len(self.texts)
            self.texts.append(visible_text(text))
        return index


class Frames:
    """Frames as they are displayed: one for each function of each binary, whatever line or address was sampled."""

    COLUMNS = ("name", "category", "type", "binary", "source", "line", "line_end", "inlined")

    def __init__(self, strings: Strings) -> None:
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
        number = max(line.line or line.function.start_line, 0) if line else 0
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


class Stacks:
    """Stacks as they are displayed."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._index: dict[tuple[int, ...], int] = {}
        # Keyed by identity, since hashing a frame or a stack visits all of it; what has its id here is kept alive.
        self._displayed: dict[int, int] = {}
        self._known: dict[int, int] = {}
        self._alive: list[Frame | Stack] = []
        self._inlined: list[tuple[int, ...]] = []

    def add(self, stack: Stack) -> int:
        """Give the number of a stack."""
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


class Threads:
    """Processes and their threads."""

    def __init__(self, strings: Strings) -> None:
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
        """Give the columns of processes."""
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


def _nameless(frame: Frame) -> str:
    """Name a frame without a function by its binary alone: by address, one function would be many narrow frames."""
    binary = base_name(frame.mapping.path) if frame.mapping else ""
    return f"[{binary.strip('[]')}]" if binary else frame_label(frame)


def _number(attributes: Attributes, key: str) -> int:
    """Give the value of an integer attribute, 0 when it is absent, negative or of another type."""
    for name, value in attributes:
        if name == key:
            return max(value, 0) if type(value) is int else 0
    return 0
