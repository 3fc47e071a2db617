"""Rust's legacy mangling: a path in C++ syntax whose last part is a hash, odd characters escaped with "$"."""

import re
from typing import Final

__all__ = ("demangle_legacy", "is_legacy")

_PART_LENGTH: Final = re.compile(r"[0-9]{1,5}")
_HASH: Final = re.compile(r"h[0-9a-f]{16}\Z")
_ESCAPE: Final = re.compile(r"\$([A-Z]{1,2}|u[0-9a-f]{1,6})\$|\.\.")
_ESCAPES: Final = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_LLVM_MARK: Final = b".llvm."


def is_legacy(name: bytes) -> bool:
    """Whether a name that starts with ``_Z`` ends with the hash that rustc adds: ``17h`` and 16 digits."""
    if _LLVM_MARK in name:
        name = name.partition(_LLVM_MARK)[0]
    return name[-20:-17] == b"17h" and name.endswith(b"E") and name.startswith(b"_ZN")


def demangle_legacy(name: bytes) -> bytes | None:
    """Return the path of a name without its hash, None when it is malformed."""
    try:
        text = name.partition(_LLVM_MARK)[0].decode("ascii")
    except UnicodeDecodeError:
        return None
    parts: list[str] = []
    position = len("_ZN")
    while length := _PART_LENGTH.match(text, position):
        begin = length.end()
        position = begin + int(length[0])
        parts.append(text[begin:position])
    if text[position:] != "E" or len(parts) < 2 or not _HASH.match(parts[-1]):
        return None
    return "::".join(map(_unescape, parts[:-1])).encode()


def _unescape(part: str) -> str:
    # A part may not begin with "$": rustc puts "_" before it.
    return _ESCAPE.sub(_replacement, part[1:] if part.startswith("_$") else part)


def _replacement(match: re.Match[str]) -> str:
    code = match[1]
    if code is None:
        return "::"
    if code in _ESCAPES:
        return _ESCAPES[code]
    if code.startswith("u"):
        value = int(code[1:], 16)
        if value < 0x11_0000 and chr(value).isprintable():
            return chr(value)
    return match[0]
