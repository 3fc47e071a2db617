"""The tables of a pprof profile: strings, mappings, functions, locations, each entry once."""

from otelprof.formats import pprof_schema
from otelprof.formats.frames import base_name
from otelprof.model.stack import Frame, Function, Mapping, Stack

__all__ = ("PprofTables", "build_id")


class PprofTables:
    """Adds what stacks consist of to a profile; ids count from 1, as pprof demands."""

    def __init__(self, profile: pprof_schema.Profile, *, base_names: bool) -> None:
        self._profile = profile
        self._base_names = base_names
        self._strings: dict[str, int] = {}
        self._mappings: dict[Mapping, int] = {}
        self._functions: dict[Function, int] = {}
        self._locations: dict[tuple[int, int, tuple[tuple[int, int, int], ...]], int] = {}
        self._frames: dict[int, int] = {}
        self._stacks: dict[int, tuple[Stack, tuple[int, ...]]] = {}
        self.string("")

    def string(self, text: str) -> int:
        """Give the index of a text."""
        index = self._strings.get(text)
        if index is None:
            index = self._strings[text] = len(self._strings)
            self._profile.string_table.append(text)
        return index

    def stack(self, stack: Stack) -> tuple[int, ...]:
        """Give the location ids of a stack, leaf first; the same stack object costs one look-up."""
        known = self._stacks.get(id(stack))
        if known is None:
            # The stack is kept, and so are its frames: no other object gets their ids meanwhile.
            known = self._stacks[id(stack)] = (stack, tuple([self._frame(frame) for frame in stack]))
        return known[1]

    def mark_named_mappings(self) -> None:
        """Tell viewers which mappings have a name for every location, and need not be looked up."""
        bare = {location.mapping_id for location in self._profile.location if not location.line}
        for mapping in self._profile.mapping:
            mapping.has_functions = mapping.id not in bare

    def _frame(self, frame: Frame) -> int:
        known = self._frames.get(id(frame))
        if known is None:
            known = self._frames[id(frame)] = self._location(frame)
        return known

    def _location(self, frame: Frame) -> int:
        mapping = self._mapping(frame.mapping) if frame.mapping is not None else 0
        lines = tuple((self._function(line.function), line.line, line.column) for line in frame.lines)
        key = (mapping, frame.address, lines)
        index = self._locations.get(key)
        if index is None:
            index = self._locations[key] = len(self._locations) + 1
            location = self._profile.location.add(id=index, mapping_id=mapping, address=frame.address)
            for function, line, column in lines:
                location.line.add(function_id=function, line=line, column=column)
        return index

    def _mapping(self, mapping: Mapping) -> int:
        index = self._mappings.get(mapping)
        if index is None:
            index = self._mappings[mapping] = len(self._mappings) + 1
            self._profile.mapping.add(
                id=index,
                memory_start=mapping.memory_start,
                memory_limit=mapping.memory_limit,
                file_offset=mapping.file_offset,
                filename=self.string(base_name(mapping.path) if self._base_names else mapping.path),
                build_id=self.string(build_id(mapping)),
            )
        return index

    def _function(self, function: Function) -> int:
        index = self._functions.get(function)
        if index is None:
            index = self._functions[function] = len(self._functions) + 1
            self._profile.function.add(
                id=index,
                name=self.string(function.name),
                # Where both are the same, `go tool pprof` takes the name for a mangled one and spoils "<module>".
                system_name=self.string(function.system_name),
                filename=self.string(function.filename),
                start_line=function.start_line,
            )
        return index


def build_id(mapping: Mapping) -> str:
    """Choose the one build id that pprof has room for: GNU's, else Go's, else the hash of the file.

    Bazel sets the Go build id ``redacted`` in every binary: then only the hash tells them apart.
    """
    if mapping.build_id_go == "redacted":
        return mapping.build_id_htlhash
    return mapping.build_id_gnu or mapping.build_id_go or mapping.build_id_htlhash
