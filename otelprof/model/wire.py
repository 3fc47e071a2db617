"""Find out what is wrong with a serialised message.

The decoder stops at the first damage with one general sentence, and keeps unknown fields in silence. This walk over
the bytes tells where and what, but is slow: it is made only when the decoder has already found something.
"""

from enum import Enum
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

__all__ = ("Damage", "Finding", "examine")

MAX_FINDINGS = 100
"""Further ones add nothing that a reader would use."""

MAX_NESTING = 100
"""Messages inside each other that decoders accept."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

_WIRE_TYPES = {
    FieldDescriptor.TYPE_DOUBLE: _FIXED64,
    FieldDescriptor.TYPE_FIXED64: _FIXED64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED64,
    FieldDescriptor.TYPE_FLOAT: _FIXED32,
    FieldDescriptor.TYPE_FIXED32: _FIXED32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED32,
    FieldDescriptor.TYPE_STRING: _LENGTH,
    FieldDescriptor.TYPE_BYTES: _LENGTH,
    FieldDescriptor.TYPE_MESSAGE: _LENGTH,
}
"""How single values are written; types that are not listed are varints. Source: protobuf's encoding specification."""


class Damage(Enum):
    """What kind of thing was found."""

    BROKEN = "broken"
    UNKNOWN = "unknown"
    NOT_UTF8 = "not UTF-8"


class Finding(NamedTuple):
    """One thing that is wrong; ``start`` and ``end`` tell where in the payload."""

    damage: Damage
    where: str
    message: str
    start: int
    end: int


class _Broken(Exception):
    """What cannot be skipped, at which offset."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def examine(payload: bytes, descriptor: Descriptor) -> list[Finding]:
    """List what is wrong with a serialised message of that type, in the order of the bytes.

    Ends after a breakage, since nothing that follows can be made out, and after MAX_FINDINGS.
    """
    walk = _Walk(payload)
    try:
        walk.message(0, len(payload), descriptor, "", 1)
    except _Broken as error:
        walk.findings.append(Finding(Damage.BROKEN, f"byte {error.offset}", str(error), error.offset, len(payload)))
    return walk.findings


class _Walk:
    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.findings: list[Finding] = []

    def message(self, offset: int, end: int, descriptor: Descriptor, where: str, depth: int) -> None:
        """Go through the fields of one message."""
        if depth > MAX_NESTING:
            raise _Broken(f"messages are nested deeper than {MAX_NESTING}", offset)
        counts: dict[int, int] = {}
        while offset < end and len(self.findings) < MAX_FINDINGS:
            start = offset
            tag, offset = self._varint(offset, end)
            number, wire_type = tag >> 3, tag & 7
            if not 0 < number < 2**29:
                raise _Broken(f"there is no field {number}", start)
            value = offset
            offset = self._skip(offset, end, wire_type)
            field = descriptor.fields_by_number.get(number)
            if field is None:
                self._add(Damage.UNKNOWN, where, f"{descriptor.name} has no field {number}", start, offset)
                continue
            index = counts[number] = counts.get(number, -1) + 1
            self._field(field, wire_type, (value, offset), _path(where, field, index), depth)

    def _field(self, field: FieldDescriptor, wire_type: int, span: tuple[int, int], where: str, depth: int) -> None:
        expected = _WIRE_TYPES.get(field.type, _VARINT)
        packed = _is_repeated(field) and expected != _LENGTH and wire_type == _LENGTH
        if wire_type != expected and not packed:
            message = (
                f"wire type {wire_type} instead of {expected}: written with another layout of OTLP profiles, such as "
                "that of opentelemetry-proto before 1.43?"
            )
            self._add(Damage.UNKNOWN, where, message, *span)
            return
        if expected != _LENGTH:
            return
        length, start = self._varint(*span)
        end = start + length
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            assert field.message_type is not None
            self.message(start, end, field.message_type, where, depth + 1)
        elif field.type == FieldDescriptor.TYPE_STRING:
            try:
                self.payload[start:end].decode()
            except UnicodeDecodeError as error:
                self._add(Damage.NOT_UTF8, where, f"text is not UTF-8: {error.reason}", start, end)

    def _skip(self, offset: int, end: int, wire_type: int) -> int:
        """Offset after a value."""
        if wire_type == _VARINT:
            return self._varint(offset, end)[1]
        if wire_type == _LENGTH:
            length, offset = self._varint(offset, end)
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        else:
            raise _Broken(f"wire type {wire_type} is not in use", offset)
        if length > end - offset:
            raise _Broken(f"a value of {length} bytes does not fit into the {end - offset} that are left", offset)
        return offset + length

    def _varint(self, offset: int, end: int) -> tuple[int, int]:
        """Value and offset after it."""
        value = 0
        for position in range(offset, min(end, offset + 10)):
            byte = self.payload[position]
            value |= (byte & 0x7F) << (7 * (position - offset))
            if byte < 0x80:
                return value, position + 1
        raise _Broken("a number has no end", offset)

    def _add(self, damage: Damage, where: str, message: str, start: int, end: int) -> None:
        self.findings.append(Finding(damage, where, message, start, end))


def _is_repeated(field: FieldDescriptor) -> bool:
    # protobuf 5 has no FieldDescriptor.is_repeated, protobuf 7 no longer has FieldDescriptor.label.
    return bool(field.default_value == [])


def _path(where: str, field: FieldDescriptor, index: int) -> str:
    name = f"{field.name}[{index}]" if _is_repeated(field) else field.name
    return f"{where}.{name}" if where else name
