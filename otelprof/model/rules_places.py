"""Rules of mappings, locations, functions, links and ids."""

import re
from collections.abc import Iterator

from otelprof.model.conventions import BUILD_ID_DEPRECATED, BUILD_ID_GNU, BUILD_ID_GO, BUILD_ID_HTLHASH
from otelprof.model.rules import Chapter, Found, Level
from otelprof.model.view import MappingRow, View, text_value

__all__ = ("IDS", "PLACES")

PLACES = Chapter("Mappings and locations", needs="dictionary")
IDS = Chapter("Links and ids", needs="message")

_GNU = re.compile("(?:[0-9a-f]{2})+")
_HTLHASH = re.compile("[0-9a-f]{32}")


@PLACES.rule("R40", Level.ERROR, "memory_start of a Mapping is below memory_limit, or both are 0")
def mapping_ranges(view: View) -> Iterator[Found]:
    for index, mapping in enumerate(view.mappings):
        if (mapping.start or mapping.limit) and mapping.start >= mapping.limit:
            yield Found(f"mapping_table[{index}]", f"start {mapping.start:#x} is not below limit {mapping.limit:#x}")


@PLACES.rule("R41", Level.ERROR, "every Mapping has a build id; one without htlhash is a notice")
def build_ids(view: View) -> Iterator[Found]:
    for index, mapping in enumerate(view.mappings[1:], 1):
        keys = {view.keys[row] for row in view.attribute_rows(mapping.attributes)}
        if not keys & {BUILD_ID_GNU, BUILD_ID_GO, BUILD_ID_HTLHASH}:
            yield Found(f"mapping_table[{index}]", f"{view.string(mapping.filename)!r} has no build id")
        elif BUILD_ID_HTLHASH not in keys:
            message = f"{view.string(mapping.filename)!r} has no htlhash build id"
            yield Found(f"mapping_table[{index}]", message, Level.NOTICE)


@PLACES.rule("R42", Level.WARNING, "build ids are hex in lower case, htlhash has 32 digits, .profiling is not used")
def build_id_forms(view: View) -> Iterator[Found]:
    for index, (key, row) in enumerate(zip(view.keys, view.attributes, strict=True)):
        text = text_value(view, row.value) or ""
        where = f"attribute_table[{index}]"
        if key == BUILD_ID_DEPRECATED:
            yield Found(where, f"{key!r} is deprecated; use {BUILD_ID_HTLHASH!r}")
        elif key == BUILD_ID_GNU and not _GNU.fullmatch(text):
            yield Found(where, f"{key!r} is not hex in lower case: {text!r}")
        elif key == BUILD_ID_HTLHASH and not _HTLHASH.fullmatch(text):
            yield Found(where, f"{key!r} is not 32 hex digits in lower case: {text!r}")


@PLACES.rule("R43", Level.WARNING, "the address of a Location is inside the range of its mapping")
def addresses(view: View) -> Iterator[Found]:
    for index, location in enumerate(view.locations):
        mapping = _mapping(view, location.mapping)
        # Without an address there is nothing to compare: interpreters may give a mapping only.
        if location.address and mapping.limit and not mapping.start <= location.address <= mapping.limit:
            place = f"{mapping.start:#x} … {mapping.limit:#x}"
            yield Found(f"location_table[{index}]", f"address {location.address:#x} is outside its mapping, {place}")


@PLACES.rule("R44", Level.ERROR, "lines, columns and start lines are not negative")
def lines(view: View) -> Iterator[Found]:
    for index, location in enumerate(view.locations):
        if any(line < 0 or column < 0 for _, line, column in location.lines):
            yield Found(f"location_table[{index}]", "a line or column is negative")
    for index, function in enumerate(view.functions):
        if function.start_line < 0:
            yield Found(f"function_table[{index}]", "start_line is negative")


@PLACES.rule("R45", Level.ERROR, "every Function has a name, a system name or a file name")
def functions_named(view: View) -> Iterator[Found]:
    for index, function in enumerate(view.functions[1:], 1):
        if not function.name and not function.system_name and not function.filename:
            yield Found(f"function_table[{index}]", "the function has no name at all")


@PLACES.rule("R46", Level.WARNING, "every Location has a mapping, an address or a line")
def locations_identifiable(view: View) -> Iterator[Found]:
    for index, location in enumerate(view.locations[1:], 1):
        if not location.mapping and not location.address and not location.lines:
            yield Found(f"location_table[{index}]", "the location has neither mapping nor address nor line")


@IDS.rule("R50", Level.ERROR, "every Link has a trace id of 16 and a span id of 8 bytes")
def link_lengths(view: View) -> Iterator[Found]:
    for index, (trace_id, span_id) in enumerate(view.links[1:], 1):
        if (len(trace_id), len(span_id)) != (16, 8):
            yield Found(f"link_table[{index}]", f"the ids have {len(trace_id)} and {len(span_id)} bytes")


@IDS.rule("R51", Level.ERROR, "no Link after row 0 is all zero")
def links_set(view: View) -> Iterator[Found]:
    for index, link in enumerate(view.links[1:], 1):
        if link == (bytes(16), bytes(8)):
            yield Found(f"link_table[{index}]", "all bytes are zero")


@IDS.rule("R52", Level.ERROR, "profile_id is unset, or has 16 bytes that are not all zero")
def profile_ids(view: View) -> Iterator[Found]:
    for profile in view.profiles:
        profile_id = profile.message.profile_id
        if profile_id and (len(profile_id) != 16 or not any(profile_id)):
            yield Found(profile.where, f"profile_id {profile_id[:32].hex()!r} is not 16 bytes, or all zero")


@IDS.rule("R53", Level.ERROR, "original_payload and original_payload_format are not set")
def no_payload(view: View) -> Iterator[Found]:
    for profile in view.profiles:
        if profile.message.original_payload or profile.message.original_payload_format:
            yield Found(profile.where, "an original payload is set; its fields are about to move")


def _mapping(view: View, index: int) -> MappingRow:
    """Give a mapping, one without range for one that does not exist."""
    return view.mappings[index] if 0 < index < len(view.mappings) else MappingRow(0, 0, 0, 0, ())
