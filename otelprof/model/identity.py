"""Which rows of a dictionary are equal by value, through all that they refer to."""

from collections.abc import Hashable, Iterable

from otelprof.model.view import View

__all__ = ("first_equals", "first_rows")


def first_equals(rows: Iterable[Hashable]) -> list[int]:
    """Give for each row the index of the first one that equals it."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(row, index) for index, row in enumerate(rows)]


def first_rows(view: View) -> dict[str, list[int]]:
    """Give ``first_equals`` of every table but the strings; the order of attributes does not count."""
    strings = _Column(first_equals(view.strings))
    attributes = _Column(
        first_equals((strings[row.key], row.value.SerializeToString(), strings[row.unit]) for row in view.attributes)
    )
    mappings = _Column(
        first_equals(
            (row.start, row.limit, row.offset, strings[row.filename], attributes.set_of(row.attributes))
            for row in view.mappings
        )
    )
    functions = _Column(
        first_equals(
            (strings[row.name], strings[row.system_name], strings[row.filename], row.start_line)
            for row in view.functions
        )
    )
    locations = _Column(
        first_equals(
            (
                mappings[row.mapping],
                row.address,
                tuple([(functions[function], line, column) for function, line, column in row.lines]),
                attributes.set_of(row.attributes),
            )
            for row in view.locations
        )
    )
    return {
        "attribute_table": attributes.first,
        "mapping_table": mappings.first,
        "function_table": functions.first,
        "location_table": locations.first,
        "stack_table": first_equals(tuple(map(locations.__getitem__, row)) for row in view.stacks),
        "link_table": first_equals(view.links),
    }


class _Column(dict[int, int]):
    """Index to first equal index; an index that points nowhere equals itself alone."""

    def __init__(self, first: list[int]) -> None:
        super().__init__(enumerate(first))
        self.first = first

    def __missing__(self, index: int) -> int:
        return index

    def set_of(self, indices: Iterable[int]) -> frozenset[int]:
        """Give a list whose order does not count."""
        return frozenset(map(self.__getitem__, indices))
