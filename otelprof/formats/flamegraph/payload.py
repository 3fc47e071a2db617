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

from otelprof.formats.flamegraph.tables import Frames, Stacks, Strings, Threads
from otelprof.formats.flamegraph.text import visible_text
from otelprof.formats.groups import text_attribute
from otelprof.model.reader import ReadSample

__all__ = ("Payload", "make_payload")

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

    Totals that are not positive have no width and are left out. Raises what reading the samples raises.
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


class _Tables:
    """All tables, as they fill."""

    def __init__(self) -> None:
        self.strings = Strings()
        self.frames = Frames(self.strings)
        self.stacks = Stacks(self.frames)
        self.threads = Threads(self.strings)
        self.rows: Counter[tuple[int, int]] = Counter()
        self.incomplete = 0
        self.unit = "samples"
        self.period_ns = 0
        self.hosts: set[str] = set()
        self.start_ns = 0
        self.end_ns = 0

    def add(self, sample: ReadSample, total: int) -> None:
        if total <= 0:
            return
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
