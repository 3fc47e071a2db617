"""The functions that most samples were taken in: a table for the terminal."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.formats.flamegraph.text import visible_text
from otelprof.formats.frames import base_name, frame_label, line_label
from otelprof.formats.selection import read_displayed
from otelprof.model.stack import Frame, Stack
from otelprof.terminal import Color, paint

__all__ = ("TopFunction", "TopTable", "render_top", "top_functions")


@dataclass(frozen=True, slots=True)
class TopFunction:
    """A function: the samples in itself, and those in it or in anything that it called.

    ``file`` is the base name of its binary, else of its source file, else "".
    """

    name: str
    file: str
    self_count: int
    total_count: int


@dataclass(frozen=True, slots=True)
class TopTable:
    """Functions, the one with most samples of its own first, and the count of all samples."""

    rows: tuple[TopFunction, ...]
    total: int


def top_functions(messages: Iterable[ProfilesData], limit: int) -> TopTable:
    """Count the samples of the first ``limit`` functions; a recursive function counts once a sample."""
    stacks: dict[int, Stack] = {}
    counts: Counter[int] = Counter()
    for sample, total in read_displayed(messages):
        # The reader gives equal stacks of a message as one object; keeping it keeps its id.
        stacks[id(sample.stack)] = sample.stack
        counts[id(sample.stack)] += total
    names: dict[int, tuple[tuple[str, str], ...]] = {}
    self_counts: Counter[tuple[str, str]] = Counter()
    total_counts: Counter[tuple[str, str]] = Counter()
    for key, stack in stacks.items():
        functions = _functions(stack, names)
        if functions:
            self_counts[functions[0]] += counts[key]
        for function in set(functions):
            total_counts[function] += counts[key]
    ranked = sorted(total_counts, key=lambda function: (-self_counts[function], -total_counts[function], function))
    rows = [TopFunction(*function, self_counts[function], total_counts[function]) for function in ranked[:limit]]
    return TopTable(tuple(rows), counts.total())


def render_top(table: TopTable, width: int = 80, *, color: bool = False) -> str:
    """Draw the table in lines of at most ``width`` columns; names are cut at their end, counts never."""
    digits = max(len("samples"), len(f"{table.total:,}"))
    heading = f"{'self':>6}  {'total':>6}  {'samples':>{digits}}  function"
    lines = [paint(heading, Color.DIM) if color else heading]
    for row in table.rows:
        own, inclusive = _share(row.self_count, table.total), _share(row.total_count, table.total)
        figures = f"{own}  {inclusive}  {row.self_count:>{digits},}  "
        name, file = _fit(visible_text(row.name), visible_text(row.file), width - len(figures))
        if color:
            file = paint(file, Color.DIM) if file else ""
            figures = f"{paint(own, Color.BOLD)}{figures[len(own) :]}"
        lines.append(f"{figures}{name}{file}".rstrip())
    return "\n".join(lines) + "\n"


def _functions(stack: Stack, names: dict[int, tuple[tuple[str, str], ...]]) -> list[tuple[str, str]]:
    """Give the (name, file) of every function of a stack, leaf first; ``names`` remembers frames by their id."""
    functions: list[tuple[str, str]] = []
    for frame in stack:
        known = names.get(id(frame))
        if known is None:
            known = names[id(frame)] = _frame_functions(frame)
        functions += known
    return functions


def _frame_functions(frame: Frame) -> tuple[tuple[str, str], ...]:
    binary = base_name(frame.mapping.path) if frame.mapping is not None else ""
    if not frame.lines:
        # Bare addresses of one binary are one row: apart, they would be many of one sample each.
        return (("[unknown]", binary) if binary else (frame_label(frame), ""),)
    return tuple((line_label(line), binary or base_name(line.function.filename)) for line in frame.lines)


def _share(count: int, total: int) -> str:
    return f"{100 * count / total if total else 0.0:5.1f}%"


def _fit(name: str, file: str, width: int) -> tuple[str, str]:
    """Cut name and file to ``width`` columns together; the file goes first, it matters less."""
    width = max(width, 8)
    if len(name) > width:
        name = f"{name[: width - 1]}…"
    file = f"  {file}" if file else ""
    return name, file if len(name) + len(file) <= width else ""
