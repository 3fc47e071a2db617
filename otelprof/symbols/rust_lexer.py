"""The lexical part of Rust's v0 mangling: numbers, identifiers and literals."""

import re
import string
from typing import Final

from otelprof.errors import BadInput

__all__ = (
    "MalformedName",
    "NameReader",
    "boolean_literal",
    "character_literal",
    "integer_literal",
    "string_literal",
)

MAX_PUNYCODE_CHARS: Final = 512
"""Decoding punycode takes quadratic time."""

_END: Final = "\0"
_NUMBER: Final = re.compile("([0-9a-zA-Z]{0,11})_")
_IDENTIFIER: Final = re.compile("(u?)(0|[1-9][0-9]{0,5})_?")
_DIGITS: Final = {digit: value for value, digit in enumerate(string.digits + string.ascii_letters)}


class MalformedName(BadInput):
    """The name is not what its prefix promises, or goes beyond a bound."""


class NameReader:
    """Reads a name without its prefix from ``position`` on; everything raises MalformedName."""

    def __init__(self, text: str) -> None:
        # The end mark is in no grammar rule, so nothing has to ask whether there is more.
        self._text = text + _END
        self.position = 0

    def is_at_end(self) -> bool:
        """Whether everything was read."""
        return self._text[self.position] == _END

    def looks_at(self, *texts: str) -> bool:
        """Whether one of ``texts`` comes next."""
        return self._text.startswith(texts, self.position)

    def next_char(self) -> str:
        """Read a character."""
        char = self._text[self.position]
        if char == _END:
            raise MalformedName("unexpected end")
        self.position += 1
        return char

    def eat(self, char: str) -> bool:
        """Read ``char`` if it comes next; return whether it did."""
        if self._text[self.position] != char:
            return False
        self.position += 1
        return True

    def base62(self) -> int:
        """Read a number that ends with "_": "_" is 0, "0_" is 1."""
        match = _NUMBER.match(self._text, self.position)
        if match is None:
            raise MalformedName("bad number")
        self.position = match.end()
        digits = match[1]
        value = 0
        for digit in digits:
            value = value * 62 + _DIGITS[digit]
        return value + 1 if digits else 0

    def optional_base62(self, tag: str) -> int:
        """Read ``tag`` and a number, which counts one more, or nothing, which is 0."""
        return self.base62() + 1 if self.eat(tag) else 0

    def identifier(self) -> str:
        """Read a length and as many characters, in punycode after "u"."""
        match = _IDENTIFIER.match(self._text, self.position)
        if match is None:
            raise MalformedName("bad identifier")
        begin = match.end()
        self.position = begin + int(match[2])
        # The end mark is no part of an identifier.
        if self.position >= len(self._text):
            raise MalformedName("identifier too long")
        identifier = self._text[begin : self.position]
        return _from_punycode(identifier) if match[1] else identifier

    def hex_digits(self) -> str:
        """Read hexadecimal digits up to "_"."""
        end = self._text.find("_", self.position)
        digits = self._text[self.position : end]
        if end < 0 or digits.strip("0123456789abcdef"):
            raise MalformedName("bad constant")
        self.position = end + 1
        return digits


def _from_punycode(identifier: str) -> str:
    if len(identifier) > MAX_PUNYCODE_CHARS:
        raise MalformedName("identifier too long")
    # Rust writes "_" where RFC 3492 has "-", and nothing when there is no basic character.
    basic, delimiter, extended = identifier.rpartition("_")
    try:
        text = f"{basic}{'-' if delimiter else ''}{extended}".encode().decode("punycode")
    except (ValueError, OverflowError):
        raise MalformedName("bad punycode") from None
    if not text.isprintable():
        raise MalformedName("bad punycode")
    return text


def integer_literal(digits: str) -> str:
    """Return the decimal form of hexadecimal digits, unless there are more than 64 bits."""
    if len(digits) > 32:
        raise MalformedName("bad constant")
    return str(int(digits or "0", 16)) if len(digits) <= 16 else f"0x{digits}"


def boolean_literal(digits: str) -> str:
    """Return ``true`` or ``false``."""
    if digits not in ("0", "1"):
        raise MalformedName("bad constant")
    return "true" if digits == "1" else "false"


def character_literal(digits: str) -> str:
    """Return a character in quotes by its hexadecimal code point."""
    value = int(digits or "0", 16) if len(digits) <= 6 else 0x11_0000
    if value >= 0x11_0000 or 0xD800 <= value < 0xE000:
        raise MalformedName("bad constant")
    return _quoted(chr(value), "'")


def string_literal(digits: str) -> str:
    """Return a string in quotes by its UTF-8 bytes in hexadecimal."""
    try:
        return _quoted(bytes.fromhex(digits).decode(), '"')
    except ValueError:
        raise MalformedName("bad constant") from None


def _quoted(text: str, quote: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    printable = (char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in escaped)
    return f"{quote}{''.join(printable)}{quote}"
