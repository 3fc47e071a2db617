"""The dictionary of one message: seven tables whose rows are shared by all its profiles."""

from typing import TypeAlias

from otelprof.model.layout import AnyValue, ProfilesDictionary
from otelprof.model.text import clean_text

__all__ = ("DictionaryTables", "Indices", "LineRow")

Indices: TypeAlias = tuple[int, ...]
"""Rows of one table."""

LineRow: TypeAlias = tuple[int, int, int]
"""Row of the function table, line, column."""


class DictionaryTables:
    """Adds rows to a ProfilesDictionary, equal ones once; each method gives the index of its row.

    The dictionary must be empty: row 0 of each table is made the zero value, and whatever equals it is row 0.
    Arguments are indices of rows added before and numbers in range. Attribute rows are given in ascending order,
    because their order carries no meaning.
    """

    __slots__ = (
        "_attributes",
        "_dictionary",
        "_functions",
        "_links",
        "_locations",
        "_mappings",
        "_stacks",
        "_strings",
    )

    def __init__(self, dictionary: ProfilesDictionary) -> None:
        self._dictionary = dictionary
        dictionary.string_table.append("")
        dictionary.mapping_table.add()
        dictionary.location_table.add()
        dictionary.function_table.add()
        dictionary.link_table.add()
        dictionary.attribute_table.add()
        dictionary.stack_table.add()
        self._strings: dict[str, int] = {"": 0}
        self._mappings: dict[tuple[int, int, int, int, Indices], int] = {(0, 0, 0, 0, ()): 0}
        self._locations: dict[tuple[int, int, tuple[LineRow, ...], Indices], int] = {(0, 0, (), ()): 0}
        self._functions: dict[tuple[int, int, int, int], int] = {(0, 0, 0, 0): 0}
        self._links: dict[tuple[bytes, bytes], int] = {(b"", b""): 0}
        self._attributes: dict[tuple[int, bytes, int], int] = {(0, b"", 0): 0}
        self._stacks: dict[Indices, int] = {(): 0}

    def string(self, text: str) -> int:
        """Row of a string; what UTF-8 cannot hold is replaced."""
        index = self._strings.get(text)
        if index is None:
            clean = clean_text(text)
            index = self._strings.get(clean)
            if index is None:
                table = self._dictionary.string_table
                index = self._strings[clean] = len(table)
                table.append(clean)
            if clean is not text:
                self._strings[text] = index
        return index

    def attribute(self, key: int, value: AnyValue, unit: int = 0) -> int:
        """Row of an attribute; ``value`` holds no references."""
        row = (key, value.SerializeToString(), unit)
        index = self._attributes.get(row)
        if index is None:
            table = self._dictionary.attribute_table
            index = self._attributes[row] = len(table)
            table.add(key_strindex=key, value=value, unit_strindex=unit)
        return index

    def mapping(self, start: int, limit: int, offset: int, filename: int, attributes: Indices) -> int:
        """Row of a mapping."""
        row = (start, limit, offset, filename, attributes)
        index = self._mappings.get(row)
        if index is None:
            table = self._dictionary.mapping_table
            index = self._mappings[row] = len(table)
            table.add(
                memory_start=start,
                memory_limit=limit,
                file_offset=offset,
                filename_strindex=filename,
                attribute_indices=attributes,
            )
        return index

    def function(self, name: int, system_name: int, filename: int, start_line: int) -> int:
        """Row of a function."""
        row = (name, system_name, filename, start_line)
        index = self._functions.get(row)
        if index is None:
            table = self._dictionary.function_table
            index = self._functions[row] = len(table)
            function = table.add()
            function.name_strindex = name
            function.system_name_strindex = system_name
            function.filename_strindex = filename
            function.start_line = start_line
        return index

    def location(self, mapping: int, address: int, lines: tuple[LineRow, ...], attributes: Indices) -> int:
        """Row of a location; ``lines[0]`` is the innermost inlined function."""
        row = (mapping, address, lines, attributes)
        index = self._locations.get(row)
        if index is None:
            table = self._dictionary.location_table
            index = self._locations[row] = len(table)
            location = table.add()
            location.mapping_index = mapping
            location.address = address
            location.attribute_indices.extend(attributes)
            for function, number, column in lines:
                line = location.lines.add()
                line.function_index = function
                line.line = number
                line.column = column
        return index

    def stack(self, locations: Indices) -> int:
        """Row of a stack, leaf first."""
        index = self._stacks.get(locations)
        if index is None:
            table = self._dictionary.stack_table
            index = self._stacks[locations] = len(table)
            table.add().location_indices.extend(locations)
        return index

    def link(self, trace_id: bytes, span_id: bytes) -> int:
        """Row of a link."""
        row = (trace_id, span_id)
        index = self._links.get(row)
        if index is None:
            table = self._dictionary.link_table
            index = self._links[row] = len(table)
            table.add(trace_id=trace_id, span_id=span_id)
        return index
