"""Copy rows from one message's dictionary into another's."""

from collections.abc import Iterable

from otelprof.model.layout import AnyValue, ProfilesDictionary
from otelprof.model.rows import Rows
from otelprof.model.tables import DictionaryTables, Indices
from otelprof.model.values import inline_value

__all__ = ("DictionaryCopier",)


class DictionaryCopier:
    """Copies what is asked for, with all that it refers to, and nothing else.

    Each public mapping takes an index of the source and gives the one in the target. Raises BadProfile for an index
    that points nowhere.
    """

    def __init__(self, source: ProfilesDictionary, target: DictionaryTables) -> None:
        self._source = source
        self._target = target
        self.texts = list(source.string_table)
        """The source's strings."""
        self.strings = Rows("string_table", len(source.string_table), 0, self._string)
        self.stacks = Rows("stack_table", len(source.stack_table), 0, self._stack)
        self.links = Rows("link_table", len(source.link_table), 0, self._link)
        self._attributes = Rows("attribute_table", len(source.attribute_table), 0, self._attribute)
        self._mappings = Rows("mapping_table", len(source.mapping_table), 0, self._mapping)
        self._functions = Rows("function_table", len(source.function_table), 0, self._function)
        self._locations = Rows("location_table", len(source.location_table), 0, self._location)
        self._attribute_lists: dict[Indices, Indices] = {}

    def attributes(self, indices: Iterable[int]) -> Indices:
        """Copy a list of attributes; the rows come out in ascending order, what is not set is left out."""
        key = tuple(indices)
        rows = self._attribute_lists.get(key)
        if rows is None:
            rows = tuple(sorted(self._attributes[index] for index in key if index))
            self._attribute_lists[key] = rows
        return rows

    def _string(self, index: int) -> int:
        return self._target.string(self.texts[index])

    def _attribute(self, index: int) -> int:
        row = self._source.attribute_table[index]
        value = AnyValue()
        value.CopyFrom(row.value)
        inline_value(value, self.texts)
        return self._target.attribute(self.strings[row.key_strindex], value, self.strings[row.unit_strindex])

    def _mapping(self, index: int) -> int:
        row = self._source.mapping_table[index]
        return self._target.mapping(
            row.memory_start,
            row.memory_limit,
            row.file_offset,
            self.strings[row.filename_strindex],
            self.attributes(row.attribute_indices),
        )

    def _function(self, index: int) -> int:
        row = self._source.function_table[index]
        strings = self.strings
        return self._target.function(
            strings[row.name_strindex],
            strings[row.system_name_strindex],
            strings[row.filename_strindex],
            row.start_line,
        )

    def _location(self, index: int) -> int:
        row = self._source.location_table[index]
        return self._target.location(
            self._mappings[row.mapping_index],
            row.address,
            tuple((self._functions[line.function_index], line.line, line.column) for line in row.lines),
            self.attributes(row.attribute_indices),
        )

    def _stack(self, index: int) -> int:
        indices = self._source.stack_table[index].location_indices
        return self._target.stack(tuple(map(self._locations.__getitem__, indices)))

    def _link(self, index: int) -> int:
        row = self._source.link_table[index]
        zero = not any(row.trace_id) and not any(row.span_id)
        return 0 if zero else self._target.link(row.trace_id, row.span_id)
