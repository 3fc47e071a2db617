"""Rust's v0 mangling (RFC 2603): a grammar of paths, types and constants with references backwards.

Hostile names are bounded three ways: nesting, steps and length of the output. Crate hashes and the
instantiating crate are left out, as in the compact form that Rust's own tools print.
"""

import string
from collections.abc import Callable
from typing import Final

from otelprof.symbols.rust_lexer import (
    MalformedName,
    NameReader,
    boolean_literal,
    character_literal,
    integer_literal,
    string_literal,
)

__all__ = ("demangle_v0",)

MAX_NESTING: Final = 120
"""At four Python frames each this stays well below the interpreter's limit of 1,000."""

MAX_STEPS: Final = 20_000
MAX_OUTPUT_CHARS: Final = 16384
MAX_BOUND_LIFETIMES: Final = 64

_BASIC_TYPES: Final = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize",
    "j": "usize", "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16",
    "u": "()", "v": "...", "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip
_UNSIGNED: Final = frozenset("htmyoj")
_SIGNED: Final = frozenset("aslxni")
_SPECIAL_NAMESPACES: Final = {"C": "closure", "S": "shim"}


def demangle_v0(name: bytes) -> bytes | None:
    """Return the readable form of a name that starts with ``_R``, None when it is malformed or unreasonable."""
    try:
        text, _, suffix = name[2:].decode("ascii").partition(".")
        readable = _Decoder(text).symbol()
        return (f"{readable}.{suffix}" if suffix and not suffix.startswith("llvm.") else readable).encode()
    except (UnicodeError, MalformedName):
        return None


class _Decoder(NameReader):
    """Prints while it reads; nothing is printed while ``_muted``."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._output: list[str] = []
        self._output_chars = 0
        self._muted = False
        self._nesting = 0
        self._steps = 0
        self._bound_lifetimes = 0

    def symbol(self) -> str:
        self._path(in_value=True)
        if not self.is_at_end():
            self._silently(self._type_path)
        if not self.is_at_end():
            raise MalformedName("trailing characters")
        return "".join(self._output)

    def _print(self, text: str) -> None:
        if not self._muted:
            self._output.append(text)
            self._output_chars += len(text)
            if self._output_chars > MAX_OUTPUT_CHARS:
                raise MalformedName("output too long")

    def _silently(self, item: Callable[[], object]) -> None:
        muted, self._muted = self._muted, True
        item()
        self._muted = muted

    def _nested(self, item: Callable[[str], None]) -> None:
        """Read a tag and what it stands for, within the bounds."""
        self._nesting += 1
        self._steps += 1
        if self._nesting > MAX_NESTING or self._steps > MAX_STEPS:
            raise MalformedName("nested too deeply")
        item(self.next_char())
        self._nesting -= 1

    def _list(self, item: Callable[[], object], separator: str = ", ") -> int:
        """Print items up to "E" and return their number."""
        count = 0
        while not self.eat("E"):
            if count:
                self._print(separator)
            item()
            count += 1
        return count

    def _tuple(self, item: Callable[[], object]) -> None:
        self._print("(")
        self._print(",)" if self._list(item) == 1 else ")")

    def _backref(self, item: Callable[[], bool | None]) -> bool | None:
        """Print ``item`` once more from an earlier place; "B" was read already."""
        here = self.position - 1
        target = self.base62()
        if target >= here:
            raise MalformedName("a reference forward")
        if self._muted:
            return None
        after, self.position = self.position, target
        result = item()
        self.position = after
        return result

    # Paths

    def _path(self, *, in_value: bool) -> None:
        self._nested(self._value_path_of if in_value else self._type_path_of)

    def _value_path(self) -> None:
        self._path(in_value=True)

    def _type_path(self) -> None:
        self._path(in_value=False)

    def _value_path_of(self, tag: str) -> None:
        self._path_of(tag, in_value=True)

    def _type_path_of(self, tag: str) -> None:
        self._path_of(tag, in_value=False)

    def _path_of(self, tag: str, *, in_value: bool) -> None:
        same = self._value_path if in_value else self._type_path
        if tag == "C":
            self.optional_base62("s")
            self._print(self.identifier())
        elif tag == "N":
            namespace = self.next_char()
            same()
            self._member(namespace)
        elif tag in ("M", "X"):
            self.optional_base62("s")
            self._silently(self._type_path)
            self._qualified_self(has_trait=tag == "X")
        elif tag == "Y":
            self._qualified_self(has_trait=True)
        elif tag == "I":
            same()
            self._print("::<" if in_value else "<")
            self._list(self._generic_argument)
            self._print(">")
        elif tag == "B":
            self._backref(same)
        else:
            raise MalformedName("unknown path")

    def _member(self, namespace: str) -> None:
        disambiguator = self.optional_base62("s")
        name = self.identifier()
        if namespace.isupper():
            kind = _SPECIAL_NAMESPACES.get(namespace, namespace)
            self._print(f"::{{{kind}{':' if name else ''}{name}#{disambiguator}}}")
        elif not namespace.islower():
            raise MalformedName("unknown namespace")
        elif name:
            self._print(f"::{name}")

    def _qualified_self(self, *, has_trait: bool) -> None:
        self._print("<")
        self._type()
        if has_trait:
            self._print(" as ")
            self._type_path()
        self._print(">")

    def _generic_argument(self) -> None:
        if self.eat("L"):
            self._lifetime(self.base62())
        elif self.eat("K"):
            self._type_constant()
        else:
            self._type()

    # Types

    def _type(self) -> None:
        self._nested(self._type_of)

    def _type_of(self, tag: str) -> None:
        if tag in _BASIC_TYPES:
            self._print(_BASIC_TYPES[tag])
        elif tag in ("R", "Q"):
            self._reference(is_mutable=tag == "Q")
        elif tag in ("P", "O"):
            self._print("*const " if tag == "P" else "*mut ")
            self._type()
        elif tag in ("A", "S"):
            self._array(has_length=tag == "A")
        elif tag == "T":
            self._tuple(self._type)
        elif tag == "F":
            self._with_binder(self._function_signature)
        elif tag == "D":
            self._dynamic()
        elif tag == "B":
            self._backref(self._type)
        else:
            self._path_of(tag, in_value=False)

    def _reference(self, *, is_mutable: bool) -> None:
        self._print("&")
        if self.eat("L") and (lifetime := self.base62()):
            self._lifetime(lifetime)
            self._print(" ")
        if is_mutable:
            self._print("mut ")
        self._type()

    def _array(self, *, has_length: bool) -> None:
        self._print("[")
        self._type()
        if has_length:
            self._print("; ")
            self._value_constant()
        self._print("]")

    def _function_signature(self) -> None:
        if self.eat("U"):
            self._print("unsafe ")
        if self.eat("K"):
            abi = "C" if self.eat("C") else self.identifier().replace("_", "-")
            self._print(f'extern "{abi}" ')
        self._print("fn(")
        self._list(self._type)
        self._print(")")
        if not self.eat("u"):
            self._print(" -> ")
            self._type()

    def _dynamic(self) -> None:
        self._print("dyn ")
        self._with_binder(lambda: self._list(self._dynamic_trait, " + "))
        if not self.eat("L"):
            raise MalformedName("a trait object without lifetime")
        if lifetime := self.base62():
            self._print(" + ")
            self._lifetime(lifetime)

    def _dynamic_trait(self) -> None:
        is_open = bool(self._open_path())
        while self.eat("p"):
            self._print(", " if is_open else "<")
            is_open = True
            self._print(f"{self.identifier()} = ")
            self._type()
        if is_open:
            self._print(">")

    def _open_path(self) -> bool | None:
        """Print a path whose generic arguments, if any, are not closed yet; return whether there are any."""
        if self.eat("B"):
            return self._backref(self._open_path)
        if self.eat("I"):
            self._type_path()
            self._print("<")
            self._list(self._generic_argument)
            return True
        self._type_path()
        return False

    # Lifetimes

    def _with_binder(self, item: Callable[[], object]) -> None:
        count = self.optional_base62("G")
        if count > MAX_BOUND_LIFETIMES:
            raise MalformedName("too many lifetimes")
        self._bound_lifetimes += count
        if count:
            self._print("for<")
            for index in range(count, 0, -1):
                self._lifetime(index)
                self._print(", " if index > 1 else "> ")
        item()
        self._bound_lifetimes -= count

    def _lifetime(self, index: int) -> None:
        """Print a lifetime by its de Bruijn index, 0 = erased."""
        depth = self._bound_lifetimes - index
        if index == 0:
            self._print("'_")
        elif 0 <= depth < 26:
            self._print(f"'{string.ascii_lowercase[depth]}")
        elif depth >= 26:
            self._print(f"'_{depth}")
        elif not self._muted:
            raise MalformedName("an unbound lifetime")

    # Constants

    def _value_constant(self) -> None:
        self._nested(self._constant_of)

    def _type_constant(self) -> None:
        """Print a constant among generic arguments: in braces unless it is a plain literal."""
        needs_braces = self.looks_at("Q", "A", "V", "e") or (self.looks_at("R") and not self.looks_at("Re"))
        self._print("{" if needs_braces else "")
        if self.eat("B"):
            self._backref(self._type_constant)
        else:
            self._value_constant()
        self._print("}" if needs_braces else "")

    def _constant_of(self, tag: str) -> None:
        if tag == "p":
            self._print("_")
        elif tag in _UNSIGNED or tag in _SIGNED:
            self._print("-" if tag in _SIGNED and self.eat("n") else "")
            self._print(integer_literal(self.hex_digits()))
        elif tag == "b":
            self._print(boolean_literal(self.hex_digits()))
        elif tag == "c":
            self._print(character_literal(self.hex_digits()))
        elif tag == "B":
            self._backref(self._value_constant)
        else:
            self._compound_constant(tag)

    def _compound_constant(self, tag: str) -> None:
        if tag == "e" or (tag == "R" and self.eat("e")):
            self._print("*" if tag == "e" else "")
            self._print(string_literal(self.hex_digits()))
        elif tag in ("R", "Q"):
            self._print("&" if tag == "R" else "&mut ")
            self._value_constant()
        elif tag == "A":
            self._print("[")
            self._list(self._value_constant)
            self._print("]")
        elif tag == "T":
            self._tuple(self._value_constant)
        elif tag == "V":
            self._value_path()
            self._fields(self.next_char())
        else:
            raise MalformedName("unknown constant")

    def _fields(self, shape: str) -> None:
        if shape == "T":
            self._print("(")
            self._list(self._value_constant)
            self._print(")")
        elif shape == "S":
            self._print(" { ")
            self._list(self._named_field)
            self._print(" }")
        elif shape != "U":
            raise MalformedName("unknown constant")

    def _named_field(self) -> None:
        self.optional_base62("s")
        self._print(f"{self.identifier()}: ")
        self._value_constant()
