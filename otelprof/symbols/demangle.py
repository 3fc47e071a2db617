"""Names for people from the names of linkers: C++ (Itanium ABI) through libstdc++, Rust by our own decoder.

Runs in the worker: ``__cxa_demangle`` is C code that sees hostile names. The library is loaded on
import, before the worker is confined.
"""

import ctypes
from collections.abc import Callable
from typing import Final

from otelprof.symbols.rust_legacy import demangle_legacy, is_legacy
from otelprof.symbols.rust_v0 import demangle_v0

__all__ = ("MANGLED_PREFIXES", "demangle", "demangler_available")

MANGLED_PREFIXES: Final = (b"_Z", b"_R")

_BUFFER_BYTES: Final = 64 << 10


class _CppDemangler:
    """``__cxa_demangle`` with one result buffer that is used again for every name."""

    def __init__(self, library: ctypes.PyDLL) -> None:
        self._function = library["__cxa_demangle"]
        self._function.restype = ctypes.c_char_p
        self._function.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self._malloc = ctypes.PyDLL(None).malloc
        self._malloc.restype = ctypes.c_void_p
        self._malloc.argtypes = [ctypes.c_size_t]
        self._capacity = ctypes.c_size_t()
        self._status = ctypes.c_int()
        self._capacity_at = ctypes.addressof(self._capacity)
        self._status_at = ctypes.addressof(self._status)
        self._renew_buffer()

    def _renew_buffer(self) -> None:
        self._buffer = self._malloc(_BUFFER_BYTES)
        self._capacity.value = _BUFFER_BYTES

    def __call__(self, name: bytes) -> bytes | None:
        result: bytes | None = self._function(name, self._buffer, self._capacity_at, self._status_at)
        if result is not None and len(result) >= _BUFFER_BYTES:
            # It freed the buffer for a larger one, which is left behind: this is rare and the parser short-lived.
            self._renew_buffer()
        return result


def _load() -> Callable[[bytes], bytes | None] | None:
    try:
        # PyDLL keeps the interpreter lock: releasing it would cost more than the call.
        return _CppDemangler(ctypes.PyDLL("libstdc++.so.6"))
    except (OSError, AttributeError):
        return None


_cpp: Final = _load()


def demangler_available() -> bool:
    """Whether C++ names can be demangled: libstdc++ is there."""
    return _cpp is not None


def demangle(name: bytes) -> bytes | None:
    """Return the readable form of a mangled C++ or Rust name, None when it is not one or is malformed.

    Names without one of MANGLED_PREFIXES need not be asked for.
    """
    if name.startswith(b"_Z"):
        # Looked at first because a call for every C++ name costs a third of demangling it.
        if (name[-20:-17] == b"17h" or b".llvm." in name) and is_legacy(name):
            return demangle_legacy(name)
        return _cpp(name) if _cpp else None
    if name.startswith(b"_R"):
        return demangle_v0(name)
    return None
