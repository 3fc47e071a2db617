"""Rules of attributes: keys, value types, and what may not be said with them."""

from collections.abc import Iterator, Sequence

from otelprof.model.conventions import (
    CUSTOM_FRAME_TYPES,
    FRAME_TYPE,
    FRAME_TYPES,
    INTEGER_KEYS,
    SAMPLE_KEYS,
    STRING_KEYS,
)
from otelprof.model.layout import AnyValue, KeyValue
from otelprof.model.rules import Chapter, Found, Level
from otelprof.model.tables import Indices
from otelprof.model.view import View, text_value

__all__ = ("ATTRIBUTES",)

ATTRIBUTES = Chapter("Attributes", needs="dictionary")

UNIQUE_VALUES = 100
"""From so many samples on, a value of its own on each of them is held to be no accident."""


@ATTRIBUTES.rule("R30", Level.ERROR, "no key is twice in one list of attributes")
def keys_unique(view: View) -> Iterator[Found]:
    judged: dict[Indices, str] = {}
    for where, indices in view.attribute_lists():
        repeated = judged.get(indices)
        if repeated is None:
            repeated = judged[indices] = _repeated([view.keys[row] for row in view.attribute_rows(indices)])
        if repeated:
            yield Found(where, f"attribute {repeated!r} is given twice")


@ATTRIBUTES.rule("R31", Level.ERROR, "attributes of resources and scopes have a key, and each another one")
def inline_keys_unique(view: View) -> Iterator[Found]:
    for where, attributes in view.inline_attributes():
        keys = [view.key(item) for item in attributes]
        if "" in keys:
            yield Found(where, "an attribute has no key")
        repeated = _repeated(keys)
        if repeated:
            yield Found(where, f"attribute {repeated!r} is given twice")


@ATTRIBUTES.rule("R32", Level.ERROR, "resources, scopes and values hold text inline, never references to string_table")
def no_references(view: View) -> Iterator[Found]:
    for where, attributes in view.inline_attributes():
        if _has_reference(attributes):
            yield Found(where, "key_strindex or string_value_strindex is used; many receivers do not resolve it")
    for index, row in enumerate(view.attributes):
        if _value_has_reference(row.value):
            yield Found(f"attribute_table[{index}]", "key_strindex or string_value_strindex is used inside a value")


@ATTRIBUTES.rule("R33", Level.WARNING, "values have the type that the semantic conventions give them")
def value_types(view: View) -> Iterator[Found]:
    for index, (key, row) in enumerate(zip(view.keys, view.attributes, strict=True)):
        yield from _wrong_type(f"attribute_table[{index}]", key, row.value)
    for where, attributes in view.inline_attributes():
        for item in attributes:
            yield from _wrong_type(where, view.key(item), item.value)


@ATTRIBUTES.rule("R34", Level.WARNING, "profile.frame.type is a well-known value or a documented custom one")
def frame_types(view: View) -> Iterator[Found]:
    for index, (key, row) in enumerate(zip(view.keys, view.attributes, strict=True)):
        text = text_value(view, row.value) if key == FRAME_TYPE else None
        if text is not None and text not in FRAME_TYPES and text not in CUSTOM_FRAME_TYPES:
            yield Found(f"attribute_table[{index}]", f"frame type {text!r} is not known")


@ATTRIBUTES.rule("R35", Level.WARNING, "every resource has a service.name")
def service_name(view: View) -> Iterator[Found]:
    for where, resource_profiles in view.resources():
        names = [item.value for item in resource_profiles.resource.attributes if view.key(item) == "service.name"]
        # A name of another type is another rule's.
        if not names or text_value(view, names[0]) == "":
            yield Found(where, "the resource has no service.name; backends group by it")


@ATTRIBUTES.rule("R36", Level.ERROR, "there is no code.* attribute")
def no_code(view: View) -> Iterator[Found]:
    for index, key in enumerate(view.keys):
        if key.startswith("code."):
            yield Found(f"attribute_table[{index}]", f"{key!r} is not allowed in profiles")
    for where, attributes in view.inline_attributes():
        for item in attributes:
            if view.key(item).startswith("code."):
                yield Found(where, f"{view.key(item)!r} is not allowed in profiles")


@ATTRIBUTES.rule("R37", Level.WARNING, "samples have no float attribute, and none with another value on each of them")
def bounded_cardinality(view: View) -> Iterator[Found]:
    used = {row for _, _, sample in view.samples() for row in view.attribute_rows(sample.attributes)}
    for row in sorted(used):
        if view.attributes[row].value.WhichOneof("value") == "double_value":
            yield Found(f"attribute_table[{row}]", f"attribute {view.keys[row]!r} of samples is a float")
    for profile in view.profiles:
        if len(profile.samples) < UNIQUE_VALUES:
            continue
        uses: dict[str, list[int]] = {}
        for sample in profile.samples:
            for row in view.attribute_rows(sample.attributes):
                uses.setdefault(view.keys[row], []).append(row)
        for key, rows in uses.items():
            if key not in SAMPLE_KEYS and len(rows) >= UNIQUE_VALUES and len(set(rows)) == len(rows):
                yield Found(profile.where, f"attribute {key!r} has another value on each of {len(rows)} samples")


def _repeated(keys: Sequence[str]) -> str:
    """Give a key that is there twice, "" if there is none; empty keys do not count."""
    seen: set[str] = set()
    for key in keys:
        if key and key in seen:
            return key
        seen.add(key)
    return ""


def _has_reference(attributes: Sequence[KeyValue]) -> bool:
    return any(item.key_strindex or _value_has_reference(item.value) for item in attributes)


def _value_has_reference(value: AnyValue) -> bool:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return any(_value_has_reference(item) for item in value.array_value.values)
    if kind == "kvlist_value":
        return _has_reference(value.kvlist_value.values)
    return kind == "string_value_strindex"


def _wrong_type(where: str, key: str, value: AnyValue) -> Iterator[Found]:
    kind = value.WhichOneof("value")
    if key in INTEGER_KEYS and kind != "int_value":
        yield Found(where, f"{key!r} is not an integer")
    elif key in STRING_KEYS and kind not in ("string_value", "string_value_strindex"):
        yield Found(where, f"{key!r} is not a string")
