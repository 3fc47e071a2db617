"""Rules of the tables: first rows, and indices that point somewhere."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from otelprof.model.rules import Chapter, Found, Level
from otelprof.model.tables import Indices
from otelprof.model.view import FunctionRow, LocationRow, MappingRow, View

__all__ = ("DICTIONARY",)

DICTIONARY = Chapter("Dictionary", needs="dictionary")


@DICTIONARY.rule("R10", Level.ERROR, "mapping, location, function and stack tables start with the empty message")
def first_rows(view: View) -> Iterator[Found]:
    tables: dict[str, tuple[Sequence[Indices | NamedTuple], Indices | NamedTuple]] = {
        "mapping_table": (view.mappings, MappingRow(0, 0, 0, 0, ())),
        "location_table": (view.locations, LocationRow(0, 0, (), ())),
        "function_table": (view.functions, FunctionRow(0, 0, 0, 0)),
        "stack_table": (view.stacks, ()),
    }
    for name, (rows, first) in tables.items():
        if not rows:
            yield Found(name, "the table is empty; row 0 must be the empty message")
        elif rows[0] != first:
            yield Found(f"{name}[0]", "row 0 is not the empty message")


@DICTIONARY.rule("R11", Level.ERROR, "link_table starts with the empty Link; one of zero bytes is a warning")
def first_link(view: View) -> Iterator[Found]:
    if not view.links:
        yield Found("link_table", "the table is empty; row 0 must be the empty Link")
    elif view.links[0] == (bytes(16), bytes(8)):
        yield Found("link_table[0]", "row 0 is a Link of zero bytes instead of an empty one", Level.WARNING)
    elif view.links[0] != (b"", b""):
        yield Found("link_table[0]", "row 0 is not the empty Link")


@DICTIONARY.rule("R12", Level.ERROR, "string_table starts with the empty string")
def first_string(view: View) -> Iterator[Found]:
    if not view.strings:
        yield Found("string_table", "the table is empty; row 0 must be the empty string")
    elif view.strings[0]:
        yield Found("string_table[0]", "row 0 is not the empty string")


@DICTIONARY.rule("R13", Level.ERROR, "attribute_table starts with a row without key, unit and value")
def first_attribute(view: View) -> Iterator[Found]:
    if not view.attributes:
        yield Found("attribute_table", "the table is empty; row 0 must have neither key nor unit nor value")
        return
    key, value, unit = view.attributes[0]
    if key or unit or value.WhichOneof("value"):
        yield Found("attribute_table[0]", "row 0 has a key, a unit or a value")


@DICTIONARY.rule("R20", Level.ERROR, "indices of a Profile point to rows: its types and attributes")
def profile_indices(view: View) -> Iterator[Found]:
    for profile in view.profiles:
        message = profile.message
        strings = (
            message.sample_type.type_strindex,
            message.sample_type.unit_strindex,
            message.period_type.type_strindex,
            message.period_type.unit_strindex,
        )
        yield from _beyond(profile.where, strings, "string_table", len(view.strings))
        yield from _beyond(profile.where, profile.attributes, "attribute_table", len(view.attributes))


@DICTIONARY.rule("R21", Level.ERROR, "indices of a Sample point to rows: its stack, link and attributes")
def sample_indices(view: View) -> Iterator[Found]:
    stacks, links, attributes = len(view.stacks), len(view.links), len(view.attributes)
    for profile, index, sample in view.samples():
        if (
            0 <= sample.stack < stacks
            and 0 <= sample.link < links
            and (not sample.attributes or (min(sample.attributes) >= 0 and max(sample.attributes) < attributes))
        ):
            continue
        where = f"{profile.where}.samples[{index}]"
        yield from _beyond(where, (sample.stack,), "stack_table", stacks)
        yield from _beyond(where, (sample.link,), "link_table", links)
        yield from _beyond(where, sample.attributes, "attribute_table", attributes)


@DICTIONARY.rule("R22", Level.ERROR, "indices of a Stack point to rows: its locations")
def stack_indices(view: View) -> Iterator[Found]:
    for index, locations in enumerate(view.stacks):
        yield from _beyond(f"stack_table[{index}]", locations, "location_table", len(view.locations))


@DICTIONARY.rule("R23", Level.ERROR, "indices of a Location point to rows: its mapping, functions and attributes")
def location_indices(view: View) -> Iterator[Found]:
    for index, location in enumerate(view.locations):
        where = f"location_table[{index}]"
        functions = [function for function, _, _ in location.lines]
        yield from _beyond(where, (location.mapping,), "mapping_table", len(view.mappings))
        yield from _beyond(where, functions, "function_table", len(view.functions))
        yield from _beyond(where, location.attributes, "attribute_table", len(view.attributes))


@DICTIONARY.rule("R24", Level.ERROR, "indices of a Mapping point to rows: its file name and attributes")
def mapping_indices(view: View) -> Iterator[Found]:
    for index, mapping in enumerate(view.mappings):
        where = f"mapping_table[{index}]"
        yield from _beyond(where, (mapping.filename,), "string_table", len(view.strings))
        yield from _beyond(where, mapping.attributes, "attribute_table", len(view.attributes))


@DICTIONARY.rule("R25", Level.ERROR, "indices of a Function point to rows: its names and file name")
def function_indices(view: View) -> Iterator[Found]:
    for index, function in enumerate(view.functions):
        strings = (function.name, function.system_name, function.filename)
        yield from _beyond(f"function_table[{index}]", strings, "string_table", len(view.strings))


@DICTIONARY.rule("R26", Level.ERROR, "indices of an attribute point to rows: its key and unit")
def attribute_indices(view: View) -> Iterator[Found]:
    for index, row in enumerate(view.attributes):
        yield from _beyond(f"attribute_table[{index}]", (row.key, row.unit), "string_table", len(view.strings))


@DICTIONARY.rule(
    "R27",
    Level.WARNING,
    "index 0 is in no list of attributes or locations and names no function; every Sample has a stack",
)
def nothing_unset(view: View) -> Iterator[Found]:
    for where, indices in view.attribute_lists():
        if 0 in indices:
            yield Found(where, "index 0 is in attribute_indices")
    for profile, index, sample in view.samples():
        if sample.stack == 0 or (0 < sample.stack < len(view.stacks) and not view.stacks[sample.stack]):
            yield Found(f"{profile.where}.samples[{index}]", "the sample has no stack, or an empty one")
    for index, locations in enumerate(view.stacks):
        if 0 in locations:
            yield Found(f"stack_table[{index}]", "index 0 is in location_indices")
    for index, location in enumerate(view.locations):
        if any(not function for function, _, _ in location.lines):
            yield Found(f"location_table[{index}]", "a line has no function")


@DICTIONARY.rule("R28", Level.ERROR, "every attribute after row 0 has a key")
def attributes_have_keys(view: View) -> Iterator[Found]:
    for index, row in enumerate(view.attributes[1:], 1):
        # A key that points nowhere is another rule's.
        if 0 <= row.key < len(view.strings) and not view.keys[index]:
            yield Found(f"attribute_table[{index}]", "the key is empty")


def _beyond(where: str, indices: Iterable[int], table: str, size: int) -> Iterator[Found]:
    """Yield the indices that are not in the table; 0 is never one, for it means that nothing is set."""
    for index in indices:
        if index and not 0 < index < size:
            yield Found(where, f"there is no {table}[{index}], only {size} rows")
