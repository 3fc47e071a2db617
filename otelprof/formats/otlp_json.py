"""OTLP/JSON, one document a line, as the Collector's file exporter writes and reads it.

It differs from protobuf's own JSON mapping: trace, span and profile ids are hexadecimal, enums are
numbers (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). Fields that are not
set are left out. References into the dictionary (``keyStrindex``, ``stringValueStrindex``) are
kept as they are; the model's reader resolves them.
"""

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, BinaryIO, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.errors import BadProfile
from otelprof.formats.limits import read_line

__all__ = ("read_otlp_json", "write_otlp_json")

MAX_DEPTH = 100
"""Nested messages accepted: protobuf decoders refuse deeper ones (default of C++, Go and Java)."""

_Scalar: TypeAlias = Callable[[Any], Any]
"""Turns one field value into another form; raises TypeError or ValueError."""

_ID_FIELDS = frozenset({"trace_id", "span_id", "profile_id"})

_INT32_TYPES = frozenset({FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_ENUM})
_INT64_TYPES = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})


def write_otlp_json(stream: BinaryIO, messages: Iterable[ProfilesData]) -> None:
    """Write each message as one line."""
    for message in messages:
        text = json.dumps(_to_json(message), ensure_ascii=False, separators=(",", ":"))
        stream.write(text.encode() + b"\n")


def read_otlp_json(stream: BinaryIO) -> Iterator[ProfilesData]:
    """Read one message from each line that is not blank; unknown fields are ignored, as OTLP demands.

    Raises BadProfile, naming line and field, for what is not OTLP/JSON.
    """
    number = 0
    while line := read_line(stream):
        number += 1
        if line.isspace():
            continue
        message = ProfilesData()
        try:
            _fill(message, json.loads(line), MAX_DEPTH)
        except json.JSONDecodeError as error:
            raise BadProfile(f"line {number} is not JSON: {error.msg} at character {error.pos}") from error
        except RecursionError:
            raise BadProfile(f"line {number} is nested too deeply") from None
        except (TypeError, ValueError) as error:
            raise BadProfile(f"line {number} is not OTLP/JSON: {error}") from error
        yield message


def _to_json(message: Message) -> dict[str, object]:
    writers = _writers(message.DESCRIPTOR)
    result = {}
    for field, value in message.ListFields():
        name, write = writers[field.number]
        result[name] = write(value)
    return result


@cache
def _writers(descriptor: Descriptor) -> dict[int, tuple[str, _Scalar]]:
    """Map the number of each field of a message type to its JSON name and its writer."""
    return {field.number: (field.json_name, _writer(field)) for field in descriptor.fields}


def _writer(field: FieldDescriptor) -> _Scalar:
    write = _value_writer(field)
    if not _is_repeated(field):
        return write
    if write is _same:
        return list
    return lambda values: [write(value) for value in values]


def _value_writer(field: FieldDescriptor) -> _Scalar:
    if field.message_type is not None:
        return _to_json
    if field.cpp_type in _INT64_TYPES:
        return str
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return _write_double
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex if field.name in _ID_FIELDS else _write_base64
    return _same


def _is_repeated(field: FieldDescriptor) -> bool:
    # The default is the one thing that tells in every protobuf from 5 to 7 without a warning.
    return isinstance(field.default_value, list)


def _same(value: Any) -> Any:
    return value


def _write_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _write_double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _fill(message: Message, document: object, depth: int) -> None:
    """Set the fields of ``message`` from a parsed JSON object."""
    if type(document) is not dict:
        raise TypeError(f"expected an object, got {type(document).__name__}")
    if not depth:
        raise RecursionError
    readers = _readers(message.DESCRIPTOR)
    for name, value in document.items():
        if value is None or name not in readers:
            continue
        field, read = readers[name]
        if field.message_type is not None:
            _fill_messages(message, field, value, depth - 1)
            continue
        try:
            if _is_repeated(field):
                getattr(message, field.name).extend([read(entry) for entry in _list(value)])
            else:
                setattr(message, field.name, read(value))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from error


def _fill_messages(message: Message, field: FieldDescriptor, value: object, depth: int) -> None:
    target = getattr(message, field.name)
    if not _is_repeated(field):
        target.SetInParent()
        _fill(target, value, depth)
        return
    for entry in _list(value):
        _fill(target.add(), entry, depth)


@cache
def _readers(descriptor: Descriptor) -> dict[str, tuple[FieldDescriptor, _Scalar]]:
    """Map the JSON name of each field of a message type to the field and its reader."""
    return {field.json_name: (field, _value_reader(field)) for field in descriptor.fields}


def _value_reader(field: FieldDescriptor) -> _Scalar:
    if field.cpp_type in _INT64_TYPES or field.cpp_type in _INT32_TYPES:
        return _read_integer
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return _read_double
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _read_bool
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _read_hex if field.name in _ID_FIELDS else _read_base64
    return _read_text


def _list(value: object) -> list[object]:
    if type(value) is not list:
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return value


def _read_integer(value: object) -> int:
    if type(value) is int:
        return value
    if type(value) is str:
        return int(value)
    raise TypeError(f"expected an integer, got {type(value).__name__}")


def _read_double(value: object) -> float:
    if type(value) in {int, float, str}:
        return float(value)  # type: ignore[arg-type]
    raise TypeError(f"expected a number, got {type(value).__name__}")


def _read_bool(value: object) -> bool:
    if type(value) is not bool:
        raise TypeError(f"expected true or false, got {type(value).__name__}")
    return value


def _read_text(value: object) -> str:
    if type(value) is not str:
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def _read_hex(value: object) -> bytes:
    return binascii.unhexlify(_read_text(value))


def _read_base64(value: object) -> bytes:
    return base64.b64decode(_read_text(value), validate=True)
