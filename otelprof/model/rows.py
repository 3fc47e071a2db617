"""Rows of a dictionary that came from outside."""

from collections.abc import Callable
from typing import TypeVar

from otelprof.errors import BadProfile

__all__ = ("Rows",)

Row = TypeVar("Row")


class Rows(dict[int, Row]):
    """Index to row of one table, each row resolved when it is first asked for.

    Row 0 means that nothing is set. Asking for a row that the table does not have raises BadProfile.
    """

    def __init__(self, table: str, size: int, unset: Row, resolve: Callable[[int], Row]) -> None:
        super().__init__({0: unset})
        self._table = table
        self._size = size
        self._resolve = resolve

    def __missing__(self, index: int) -> Row:
        if not 0 <= index < self._size:
            raise BadProfile(f"{self._table} has no row {index}, only {self._size}")
        row = self[index] = self._resolve(index)
        return row
