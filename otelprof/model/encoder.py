"""Plain stacks and attributes as rows of a message's dictionary."""

from otelprof.errors import BadSample
from otelprof.model.conventions import BUILD_ID_GNU, BUILD_ID_GO, BUILD_ID_HTLHASH, FRAME_TYPE
from otelprof.model.link import Link
from otelprof.model.stack import Attributes, Frame, Function, Mapping, Stack
from otelprof.model.tables import DictionaryTables, Indices
from otelprof.model.values import checked_attributes

__all__ = ("INT64_MAX", "UINT64_MAX", "PlainEncoder", "check_range")

INT64_MAX = 2**63 - 1
UINT64_MAX = 2**64 - 1

_HASHED_BY_VALUE = frozenset({str, bool, int, bytes})
"""Types whose equal values are the same value: not so 0.0 and -0.0, nor (1,) and (True,)."""


def check_range(what: str, value: int, limit: int) -> None:
    """Raise BadSample unless 0 <= ``value`` <= ``limit``."""
    if not 0 <= value <= limit:
        raise BadSample(f"{what} {value} is not within 0 … {limit}")


class PlainEncoder:
    """Adds plain objects to the tables of one message.

    An object seen before costs one look-up by its identity, whatever its depth; an equal object costs one look-up
    per part. Objects are kept alive, so that no identity is used twice. Everything is checked before the first row
    is added: what is refused leaves no rows behind.

    A mapping without any build id may not be sent, since a receiver could not tell which binary it is: it is left
    out, and where nothing else names the frame, its path becomes the file name of a nameless function. A line whose
    function has no name at all is left out too.
    """

    __slots__ = (
        "_alive",
        "_attribute_sets",
        "_frame_types",
        "_frames",
        "_functions",
        "_mappings",
        "_pairs",
        "_stacks",
        "_tables",
    )

    def __init__(self, tables: DictionaryTables) -> None:
        self._tables = tables
        self._alive: list[object] = []
        self._stacks: dict[int, int] = {}
        self._frames: dict[int, int] = {}
        self._mappings: dict[int, int] = {}
        self._functions: dict[int, int] = {}
        self._frame_types: dict[str, Indices] = {"": ()}
        self._attribute_sets: dict[int, Indices] = {}
        self._pairs: dict[tuple[str, type, object], int] = {}

    def encode(self, stack: Stack, attributes: Attributes, link: Link | None) -> tuple[int, Indices, int]:
        """Rows of a stack, of the attributes of its sample (ascending) and of its link (0 for none).

        Raises BadSample for numbers out of range and for attributes that OTLP forbids.
        """
        index = self._stacks.get(id(stack))
        if index is None:
            stack = tuple(stack)
            locations = self._known_locations(stack)
            if locations is None:
                self._check_new_frames(stack)
        rows = self._attribute_sets.get(id(attributes))
        if rows is None:
            rows = self._new_attributes(tuple(attributes))
        if index is None:
            index = self._new_stack(stack, locations)
        return index, rows, 0 if link is None else self._tables.link(link.trace_id, link.span_id)

    def _known_locations(self, stack: Stack) -> Indices | None:
        # Looking all frames up in one call takes half the time of a loop, and usually all are known.
        try:
            return tuple(map(self._frames.__getitem__, map(id, stack)))
        except KeyError:
            return None

    def _check_new_frames(self, stack: Stack) -> None:
        for frame in stack:
            if id(frame) not in self._frames:
                _check_frame(frame)

    def _new_stack(self, stack: Stack, locations: Indices | None) -> int:
        if locations is None:
            locations = tuple([self._location(frame) for frame in stack])
        index = self._stacks[id(stack)] = self._tables.stack(locations)
        self._alive.append(stack)
        return index

    def _location(self, frame: Frame) -> int:
        index = self._frames.get(id(frame))
        if index is None:
            index = self._frames[id(frame)] = self._new_location(frame)
        return index

    def _new_location(self, frame: Frame) -> int:
        mapping = 0 if frame.mapping is None else self._mapping(frame.mapping)
        lines = []
        for line in frame.lines:
            function = self._function(line.function)
            if function:
                lines.append((function, line.line, line.column))
        if not lines and not mapping and frame.mapping is not None and frame.mapping.path:
            lines.append((self._tables.function(0, 0, self._tables.string(frame.mapping.path), 0), 0, 0))
        frame_type = self._frame_types.get(frame.type)
        if frame_type is None:
            frame_type = self._frame_types[frame.type] = self._texts((FRAME_TYPE, frame.type))
        return self._tables.location(mapping, frame.address, tuple(lines), frame_type)

    def _mapping(self, mapping: Mapping) -> int:
        index = self._mappings.get(id(mapping))
        if index is None:
            build_ids = self._texts(
                (BUILD_ID_GNU, mapping.build_id_gnu),
                (BUILD_ID_GO, mapping.build_id_go),
                (BUILD_ID_HTLHASH, mapping.build_id_htlhash),
            )
            index = 0
            if build_ids:
                path = self._tables.string(mapping.path)
                index = self._tables.mapping(
                    mapping.memory_start, mapping.memory_limit, mapping.file_offset, path, build_ids
                )
            self._mappings[id(mapping)] = index
        return index

    def _function(self, function: Function) -> int:
        index = self._functions.get(id(function))
        if index is None:
            string = self._tables.string
            name, system_name, filename = string(function.name), string(function.system_name), string(function.filename)
            index = 0
            if name or system_name or filename:
                index = self._tables.function(name, system_name, filename, function.start_line)
            self._functions[id(function)] = index
        return index

    def _texts(self, *pairs: tuple[str, str]) -> Indices:
        """Rows of the text attributes that are not empty, ascending."""
        return tuple(sorted(self._add_pairs(tuple(pair for pair in pairs if pair[1]))))

    def _new_attributes(self, attributes: Attributes) -> Indices:
        pairs = self._pairs
        try:
            rows = [pairs[key, value.__class__, value] for key, value in attributes]
        except KeyError:
            rows = []
        if len(dict(attributes)) != len(rows):
            rows = self._add_pairs(attributes)
        rows.sort()
        self._alive.append(attributes)
        result = self._attribute_sets[id(attributes)] = tuple(rows)
        return result

    def _add_pairs(self, attributes: Attributes) -> list[int]:
        rows = []
        for (key, value), (clean_key, message) in zip(attributes, checked_attributes(attributes), strict=True):
            row = self._tables.attribute(self._tables.string(clean_key), message)
            if value.__class__ in _HASHED_BY_VALUE and key == clean_key:
                self._pairs[key, value.__class__, value] = row
            rows.append(row)
        return rows


def _check_frame(frame: Frame) -> None:
    check_range("frame address", frame.address, UINT64_MAX)
    for line in frame.lines:
        check_range("line", line.line, INT64_MAX)
        check_range("column", line.column, INT64_MAX)
        check_range("start line", line.function.start_line, INT64_MAX)
    if frame.mapping is not None:
        _check_mapping(frame.mapping)


def _check_mapping(mapping: Mapping) -> None:
    check_range("mapping limit", mapping.memory_limit, UINT64_MAX)
    check_range("mapping file offset", mapping.file_offset, UINT64_MAX)
    if mapping.memory_start or mapping.memory_limit:
        check_range("mapping start", mapping.memory_start, mapping.memory_limit - 1)
