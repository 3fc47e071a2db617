"""An independent decoder of pprof: plain protobuf wire format, no schema, for tests to judge by."""

import gzip
from collections import defaultdict
from typing import TypeAlias

__all__ = ("Fields", "decode_fields", "numbers", "pprof_stacks")

Fields: TypeAlias = dict[int, list[int | bytes]]
"""Field number to values: integers, or bytes of length-delimited fields."""


def decode_fields(data: bytes) -> Fields:
    """Split a message into its fields."""
    fields: Fields = defaultdict(list)
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        value, position = _varint(data, position)
        if tag & 7 == 2:
            fields[tag >> 3].append(data[position : position + value])
            position += value
        else:
            assert tag & 7 == 0, f"wire type {tag & 7}"
            fields[tag >> 3].append(value)
    assert position == len(data)
    return fields


def numbers(fields: Fields, number: int) -> list[int]:
    """Give a repeated integer field, packed or not, as signed 64-bit numbers."""
    result = []
    for value in fields.get(number, []):
        if isinstance(value, int):
            result.append(value)
            continue
        position = 0
        while position < len(value):
            entry, position = _varint(value, position)
            result.append(entry)
    return [value - (1 << 64) if value >> 63 else value for value in result]


def pprof_stacks(file: bytes) -> dict[tuple[str, ...], list[int]]:
    """Sum up the values of a pprof file by function names, leaf first; ``0xaddress`` where there is no name."""
    profile = decode_fields(gzip.decompress(file))
    strings = [_bytes(text).decode() for text in profile[6]]
    functions = {_one(function, 1): strings[_one(function, 2)] for function in map(_message, profile[5])}
    locations = {
        _one(location, 1): [functions[_one(line, 1)] for line in map(_message, location[4])]
        or [f"{_one(location, 3):#x}"]
        for location in map(_message, profile[4])
    }
    stacks: dict[tuple[str, ...], list[int]] = {}
    for sample in map(_message, profile[2]):
        names = tuple(name for location in numbers(sample, 1) for name in locations[location])
        values = numbers(sample, 2)
        stacks[names] = [a + b for a, b in zip(stacks.get(names, [0] * len(values)), values, strict=True)]
    return stacks


def _message(value: int | bytes) -> Fields:
    return decode_fields(_bytes(value))


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _one(fields: Fields, number: int) -> int:
    return (numbers(fields, number) or [0])[0]


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
