"""Attribute values and keys, between plain Python and OTLP's AnyValue and KeyValue."""

from collections.abc import Iterable, Sequence

from otelprof.errors import BadProfile, BadSample
from otelprof.model.layout import AnyValue, KeyValue
from otelprof.model.stack import Attributes, AttributeValue
from otelprof.model.text import clean_text

__all__ = (
    "MAX_DEPTH",
    "checked_attributes",
    "inline_key_values",
    "inline_value",
    "read_attributes",
    "read_value",
    "text_at",
    "write_value",
)

MAX_DEPTH = 16
"""How deep arrays may nest: decoders stop at 100 messages inside each other, and each array is two."""


def checked_attributes(attributes: Attributes) -> list[tuple[str, AnyValue]]:
    """Turn plain attributes into keys and AnyValues.

    Raises BadSample for what may not be sent: an empty or repeated key, ``code.*``, values beyond the wire format.
    """
    checked: dict[str, AnyValue] = {}
    for given, plain in attributes:
        key = clean_text(given)
        if not key or key in checked:
            raise BadSample(f"attribute key {key!r} is given twice" if key else "an attribute has an empty key")
        if key.startswith("code."):
            raise BadSample(f"attribute {key!r} is not allowed in profiles; frames say where the code is")
        checked[key] = AnyValue()
        write_value(checked[key], plain)
    return list(checked.items())


def write_value(target: AnyValue, value: AttributeValue, depth: int = 0) -> None:
    """Fill an empty AnyValue; raises BadSample for an integer beyond int64 and for arrays nested too deep."""
    if isinstance(value, str):
        target.string_value = clean_text(value)
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise BadSample(f"attribute value {value} does not fit into 64 bits")
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    else:
        if depth == MAX_DEPTH:
            raise BadSample(f"an attribute value has arrays nested deeper than {MAX_DEPTH}")
        target.array_value.SetInParent()
        for item in value:
            write_value(target.array_value.values.add(), item, depth + 1)


def read_value(value: AnyValue, strings: Sequence[str]) -> AttributeValue:
    """Turn an AnyValue into a plain value.

    A map becomes a tuple of (key, value) pairs and an absent value "". References into ``strings`` (the string
    table) are resolved; raises BadProfile when one is out of range.
    """
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(read_value(item, strings) for item in value.array_value.values)
    if kind == "kvlist_value":
        return read_attributes(value.kvlist_value.values, strings)
    if kind == "string_value_strindex":
        return text_at(strings, value.string_value_strindex)
    plain: str | bool | int | float | bytes = getattr(value, kind) if kind else ""
    return plain


def read_attributes(attributes: Iterable[KeyValue], strings: Sequence[str]) -> Attributes:
    """Turn inline attributes into plain ones, references into ``strings`` resolved; raises BadProfile."""
    return tuple(
        (item.key or text_at(strings, item.key_strindex), read_value(item.value, strings)) for item in attributes
    )


def inline_key_values(attributes: Iterable[KeyValue], strings: Sequence[str]) -> None:
    """Replace references into ``strings`` by the text itself, in place; raises BadProfile."""
    for item in attributes:
        if item.key_strindex:
            item.key = item.key or text_at(strings, item.key_strindex)
            item.ClearField("key_strindex")
        inline_value(item.value, strings)


def inline_value(value: AnyValue, strings: Sequence[str]) -> None:
    """Replace references into ``strings`` by the text itself, at any depth, in place; raises BadProfile."""
    kind = value.WhichOneof("value")
    if kind == "string_value_strindex":
        value.string_value = text_at(strings, value.string_value_strindex)
    elif kind == "array_value":
        for item in value.array_value.values:
            inline_value(item, strings)
    elif kind == "kvlist_value":
        inline_key_values(value.kvlist_value.values, strings)


def text_at(strings: Sequence[str], index: int) -> str:
    """Give a string by its index; raises BadProfile instead of counting from the end or running out of it."""
    if 0 <= index < len(strings):
        return strings[index]
    raise BadProfile(f"string_table has no row {index}, only {len(strings)}")
