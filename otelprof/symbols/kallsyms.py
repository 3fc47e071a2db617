"""The artifact of /proc/kallsyms: the functions of the kernel, its modules and BPF programs.

Layout: two u64, start and end of the kernel's own text, then a symbol table whose second string is the
module's name, "" for the kernel itself.
"""

import os
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from otelprof.errors import BadArtifact, BadInput
from otelprof.symbols.table import MAX_NAME_BYTES, MAX_SYMBOLS, SymbolTable, pack_symbols

__all__ = ("KernelTable", "check_kallsyms", "extract_kallsyms", "pack_kallsyms")

MAX_TEXT_BYTES: Final = 256 << 20
MAX_REACH_BYTES: Final = 1 << 20
"""kallsyms has no sizes: a function reaches to the next symbol, but no further than this."""

_READ_BYTES: Final = 1 << 20
_HEADER: Final = struct.Struct("=QQ")
_TEXT_TYPES: Final = frozenset("tTwW")
_PADDING_PREFIX: Final = "__pfx_"
"""Marks the padding before a function (CONFIG_CALL_PADDING, since 6.2): no code of its own."""

_MARKS: Final = frozenset(("_text", "_stext", "_etext", "_sinittext", "_einittext", "_end"))
"""The linker's own symbols: bounds, not functions."""

_END_OF_ADDRESSES: Final = 1 << 64

_Function: TypeAlias = tuple[bool, int, int, str, str]
"""Whether it is local, leading underscores, length, name, module in brackets or ""."""


class KernelTable:
    """A kallsyms artifact, used in place; ``symbols`` have the module as ``system_name``.

    Raises BadArtifact when the length is wrong.
    """

    def __init__(self, data: memoryview) -> None:
        if len(data) < _HEADER.size:
            raise BadArtifact("a kernel symbol table is too short")
        self.text_start, self.text_end = _HEADER.unpack_from(data)
        self.symbols = SymbolTable(data[_HEADER.size :])


def check_kallsyms(data: memoryview) -> None:
    """Raise BadArtifact unless ``data`` is a kallsyms artifact with every bound and index right."""
    table = KernelTable(data)
    table.symbols.check()
    if table.text_start > table.text_end:
        raise BadArtifact("a kernel symbol table has a text that ends before it starts")


def extract_kallsyms(files: Sequence[int]) -> bytes:
    """Return the packed symbols of the kallsyms file behind ``files[0]``; raises BadInput as pack_kallsyms does."""
    parts: list[bytes] = []
    offset = 0
    while part := os.pread(files[0], _READ_BYTES, offset):
        parts.append(part)
        offset += len(part)
        if offset > MAX_TEXT_BYTES:
            raise BadInput("kallsyms is too long")
    return pack_kallsyms(b"".join(parts).decode("ascii", "replace"))


def pack_kallsyms(text: str) -> bytes:
    """Turn the text of /proc/kallsyms into an artifact.

    Functions are symbols of type t and w; all others only bound the function before them. Of several names
    for an address a global one wins, then the one with fewer leading underscores, then the shorter, then the
    alphabetically first. Raises BadInput for lines of another shape and where the kernel hides its addresses.
    """
    functions: dict[int, _Function] = {}
    bounds: set[int] = set()
    text_start = 0
    try:
        for line in text.splitlines():
            # Address, type, name and, for what is loaded at run time, the module in brackets.
            digits, kind, name, *module = line.split()
            address = int(digits, 16)
            bounds.add(address)
            if kind not in _TEXT_TYPES or name.startswith(_PADDING_PREFIX):
                continue
            if name in _MARKS:
                # Where both exist _text comes before _stext.
                text_start = text_start or address
                continue
            underscores = len(name) - len(name.lstrip("_"))
            function = (kind in "tw", underscores, len(name), name, module[0] if module else "")
            rival = functions.get(address)
            if rival is None or function < rival:
                functions[address] = function
    except ValueError:
        raise BadInput("kallsyms has a line of an unknown shape") from None
    if bounds <= {0}:
        raise BadInput("the kernel hides the addresses of its symbols")
    if len(bounds) > MAX_SYMBOLS or not 0 <= min(bounds) <= max(bounds) < _END_OF_ADDRESSES:
        raise BadInput("kallsyms has too many symbols or impossible addresses")
    return _pack(functions, sorted(bounds), text_start)


def _pack(functions: dict[int, _Function], bounds: list[int], text_start: int) -> bytes:
    starts: list[int] = []
    sizes: list[int] = []
    names: list[bytes] = []
    modules: list[bytes] = []
    text_end = 0
    for start, following in pairwise([*bounds, _END_OF_ADDRESSES]):
        if start not in functions:
            continue
        _, _, _, name, module = functions[start]
        size = min(following - start, MAX_REACH_BYTES)
        starts.append(start)
        sizes.append(size)
        names.append(_encode(name))
        modules.append(_encode(module.strip("[]")))
        if not module:
            text_start = text_start or start
            text_end = start + size
    return _HEADER.pack(min(text_start, text_end), min(text_end, _END_OF_ADDRESSES - 1)) + pack_symbols(
        starts, sizes, names, modules
    )


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "replace")[:MAX_NAME_BYTES]
