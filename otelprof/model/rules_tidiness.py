"""Rules of tidy tables: no row twice, no row for nothing."""

from collections.abc import Iterator

from otelprof.model.identity import first_equals, first_rows
from otelprof.model.references import References
from otelprof.model.rules import Chapter, Found, Level
from otelprof.model.view import View

__all__ = ("TIDINESS",)

TIDINESS = Chapter("Tidiness", needs="dictionary")


@TIDINESS.rule("R70", Level.WARNING, "no string is in string_table twice")
def strings_once(view: View) -> Iterator[Found]:
    yield from _duplicates("string_table", first_equals(view.strings))


@TIDINESS.rule("R71", Level.WARNING, "no mapping is in mapping_table twice, whatever the order of its attributes")
def mappings_once(view: View) -> Iterator[Found]:
    yield from _duplicates("mapping_table", first_rows(view)["mapping_table"])


@TIDINESS.rule("R72", Level.WARNING, "no location, function, stack, link or attribute is in its table twice, by value")
def rows_once(view: View) -> Iterator[Found]:
    for table, first in first_rows(view).items():
        if table != "mapping_table":
            yield from _duplicates(table, first)


@TIDINESS.rule("R73", Level.WARNING, "every row is referred to")
def no_orphans(view: View) -> Iterator[Found]:
    for table, rows in References(view, every_row=True).unused(view).items():
        for row in rows:
            yield Found(f"{table}[{row}]", "nothing refers to this row")


@TIDINESS.rule("R74", Level.WARNING, "every row is used by a Profile, directly or through other rows")
def no_remote_orphans(view: View) -> Iterator[Found]:
    orphans = References(view, every_row=True).unused(view)
    for table, rows in References(view, every_row=False).unused(view).items():
        known = set(orphans[table])
        for row in rows:
            if row not in known:
                yield Found(f"{table}[{row}]", "only rows that no profile uses refer to this row")


def _duplicates(table: str, first: list[int]) -> Iterator[Found]:
    for row, equal in enumerate(first):
        if equal != row:
            yield Found(f"{table}[{row}]", f"this row equals row {equal}")
