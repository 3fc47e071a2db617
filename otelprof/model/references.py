"""Which rows of a dictionary are used."""

from collections.abc import Iterable, Sequence

from otelprof.model.layout import AnyValue, KeyValue
from otelprof.model.view import LocationRow, View

__all__ = ("References",)


class References:
    """Rows that are referred to, by table; indices that point nowhere may be among them.

    Counts what profiles refer to, and then what is referred to by all rows (``every_row``), or only by those that
    count already.
    """

    def __init__(self, view: View, *, every_row: bool) -> None:
        self._strings: set[int] = set()
        self._attributes: set[int] = set()
        self._mappings: set[int] = set()
        self._functions: set[int] = set()
        self._locations: set[int] = set()
        self._stacks: set[int] = set()
        self._links: set[int] = set()
        for _, attributes in view.inline_attributes():
            self._add_inline(attributes)
        for profile in view.profiles:
            message = profile.message
            for value_type in (message.sample_type, message.period_type):
                self._strings.update((value_type.type_strindex, value_type.unit_strindex))
            self._attributes.update(profile.attributes)
            for sample in profile.samples:
                self._stacks.add(sample.stack)
                self._links.add(sample.link)
                self._attributes.update(sample.attributes)
        self._follow(view, every_row)

    def unused(self, view: View) -> dict[str, list[int]]:
        """List the rows of each table that are not among these; row 0 is always used."""
        tables = {
            "string_table": (len(view.strings), self._strings),
            "attribute_table": (len(view.attributes), self._attributes),
            "mapping_table": (len(view.mappings), self._mappings),
            "function_table": (len(view.functions), self._functions),
            "location_table": (len(view.locations), self._locations),
            "stack_table": (len(view.stacks), self._stacks),
            "link_table": (len(view.links), self._links),
        }
        return {name: [row for row in range(1, size) if row not in used] for name, (size, used) in tables.items()}

    def _follow(self, view: View, every_row: bool) -> None:
        # In this order, each table is complete before it is followed.
        for index in _chosen(self._stacks, view.stacks, every_row):
            self._locations.update(view.stacks[index])
        for index in _chosen(self._locations, view.locations, every_row):
            self._add_location(view.locations[index])
        for index in _chosen(self._mappings, view.mappings, every_row):
            self._strings.add(view.mappings[index].filename)
            self._attributes.update(view.mappings[index].attributes)
        for index in _chosen(self._functions, view.functions, every_row):
            self._strings.update(view.functions[index][:3])
        for index in _chosen(self._attributes, view.attributes, every_row):
            row = view.attributes[index]
            self._strings.update((row.key, row.unit))
            self._add_value(row.value)

    def _add_location(self, location: LocationRow) -> None:
        self._mappings.add(location.mapping)
        self._attributes.update(location.attributes)
        for function, _, _ in location.lines:
            self._functions.add(function)

    def _add_inline(self, attributes: Iterable[KeyValue]) -> None:
        for item in attributes:
            self._strings.add(item.key_strindex)
            self._add_value(item.value)

    def _add_value(self, value: AnyValue) -> None:
        kind = value.WhichOneof("value")
        if kind == "string_value_strindex":
            self._strings.add(value.string_value_strindex)
        elif kind == "array_value":
            for item in value.array_value.values:
                self._add_value(item)
        elif kind == "kvlist_value":
            self._add_inline(value.kvlist_value.values)


def _chosen(used: set[int], table: Sequence[object], every_row: bool) -> Iterable[int]:
    """Give the rows of a table to follow: all, or those that are used and exist."""
    return range(len(table)) if every_row else [index for index in used if 0 <= index < len(table)]
