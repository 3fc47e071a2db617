"""The few functions of libbpf that are needed, typed.

libbpf 1.0 or newer; the library is found by the dynamic linker under its soname.
"""

import ctypes
import errno
import os
from dataclasses import dataclass

from otelprof.errors import BpfError, MissingFeature, MissingPrivilege

__all__ = ("BpfMap", "BpfObject", "libbpf_version", "load_libbpf")

_SONAME = "libbpf.so.1"

_PrintFunction = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_library: ctypes.CDLL | None = None
_libc: ctypes.CDLL | None = None
_messages: list[str] = []
_MAX_MESSAGES = 2000


def _collect_message(level: int, form: bytes, arguments: int) -> int:
    """libbpf's print hook: keep warnings, the verifier's log among them, for the error text."""
    if level > 0 or _libc is None or len(_messages) >= _MAX_MESSAGES:
        return 0
    # A verifier log arrives as one message; its useful line is at the end.
    size = _libc.vsnprintf(None, 0, form, _copy_va_list(arguments)) + 1
    buffer = ctypes.create_string_buffer(size)
    _libc.vsnprintf(buffer, size, form, ctypes.c_void_p(arguments))
    _messages.append(buffer.value.decode("utf-8", "replace"))
    return 0


def _copy_va_list(arguments: int) -> ctypes.Array[ctypes.c_char]:
    """A va_list is used up by reading it: 24 bytes on x86-64, 32 on aarch64."""
    return ctypes.create_string_buffer(ctypes.string_at(arguments, 32), 32)


_print_hook = _PrintFunction(_collect_message)


def load_libbpf() -> ctypes.CDLL:
    """Load the library once; raises MissingFeature naming the package when it is absent."""
    global _library, _libc  # noqa: PLW0603 - one library per process, as the dynamic linker has it
    if _library is not None:
        return _library
    try:
        library = ctypes.CDLL(_SONAME, use_errno=True)
    except OSError as error:
        raise MissingFeature(
            f"{_SONAME} is not installed: install the package libbpf1 (Debian, Ubuntu) or libbpf (Fedora, Arch)"
        ) from error
    pointer, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
    signatures: tuple[tuple[str, type | None, tuple[type, ...]], ...] = (
        ("bpf_object__open_mem", pointer, (text, size, pointer)),
        ("bpf_object__load", number, (pointer,)),
        ("bpf_object__close", None, (pointer,)),
        ("bpf_object__find_map_by_name", pointer, (pointer, text)),
        ("bpf_object__find_program_by_name", pointer, (pointer, text)),
        ("bpf_map__set_max_entries", number, (pointer, ctypes.c_uint32)),
        ("bpf_map__max_entries", ctypes.c_uint32, (pointer,)),
        ("bpf_map__initial_value", pointer, (pointer, ctypes.POINTER(size))),
        ("bpf_map__fd", number, (pointer,)),
        ("bpf_program__fd", number, (pointer,)),
        ("bpf_program__attach", pointer, (pointer,)),
        ("bpf_link__destroy", number, (pointer,)),
        ("bpf_map_lookup_elem", number, (number, pointer, pointer)),
        ("bpf_map_update_elem", number, (number, pointer, pointer, ctypes.c_uint64)),
        ("bpf_map_delete_elem", number, (number, pointer)),
        ("libbpf_num_possible_cpus", number, ()),
        ("libbpf_set_print", pointer, (_PrintFunction,)),
        ("libbpf_major_version", ctypes.c_uint32, ()),
        ("libbpf_minor_version", ctypes.c_uint32, ()),
    )
    for name, result, arguments in signatures:
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise MissingFeature(f"{_SONAME} lacks {name}: libbpf 1.0 or newer is needed") from error
        function.restype, function.argtypes = result, arguments
    _libc = ctypes.CDLL(None)
    library.libbpf_set_print(_print_hook)
    _library = library
    return library


def libbpf_version() -> str:
    """Version of the loaded library, as ``1.1``."""
    library = load_libbpf()
    return f"{library.libbpf_major_version()}.{library.libbpf_minor_version()}"


@dataclass(frozen=True, slots=True)
class BpfMap:
    """A loaded map; keys and values are byte strings of the map's own sizes."""

    name: str
    fd: int
    max_entries: int

    def lookup(self, key: bytes, value_bytes: int) -> bytes | None:
        """Value of ``key``, or None; a per-CPU map gives the values of all possible CPUs in a row."""
        value = ctypes.create_string_buffer(value_bytes)
        if load_libbpf().bpf_map_lookup_elem(self.fd, key, value):
            return None
        return value.raw

    def update(self, key: bytes, value: bytes) -> bool:
        """Insert or replace; False when the map is full."""
        if load_libbpf().bpf_map_update_elem(self.fd, key, value, 0):
            code = ctypes.get_errno()
            if code in {errno.E2BIG, errno.ENOMEM}:
                return False
            raise BpfError(f"BPF map {self.name}: {os.strerror(code)}")
        return True

    def delete(self, key: bytes) -> None:
        """Remove ``key`` if it is there."""
        load_libbpf().bpf_map_delete_elem(self.fd, key)


class BpfObject:
    """One BPF object file: opened (parsed, configurable), loaded (in the kernel), attached."""

    def __init__(self, data: bytes, name: str) -> None:
        """Parse the object; raises BpfError when it is none."""
        self._library = load_libbpf()
        self._name = name
        self._links: list[int] = []
        self._data = data  # libbpf reads it until load
        _messages.clear()
        self._object: int | None = self._library.bpf_object__open_mem(data, len(data), None)
        if not self._object:
            raise BpfError(f"{name} is not a BPF object: {_last_message()}")

    def _map(self, name: str) -> int:
        found: int | None = self._library.bpf_object__find_map_by_name(self._object, name.encode())
        if not found:
            raise BpfError(f"{self._name} has no map called {name}; run `make bpf`")
        return found

    def set_max_entries(self, name: str, entries: int) -> None:
        """Size a map; before :meth:`load` only."""
        if self._library.bpf_map__set_max_entries(self._map(name), entries):
            raise BpfError(f"BPF map {name} cannot have {entries} entries")

    def read_only_data(self) -> memoryview:
        """The object's ``.rodata``, writable until :meth:`load`."""
        size = ctypes.c_size_t()
        address = self._library.bpf_map__initial_value(self._map(".rodata"), ctypes.byref(size))
        if not address:
            raise BpfError(f"{self._name} has no read-only data; run `make bpf`")
        return memoryview((ctypes.c_char * size.value).from_address(address)).cast("B")

    def load(self) -> None:
        """Create the maps and verify the programs; raises MissingPrivilege or BpfError."""
        _messages.clear()
        if self._library.bpf_object__load(self._object) == 0:
            return
        code = ctypes.get_errno()
        if code == errno.EPERM and not any("PROG LOAD LOG" in message for message in _messages):
            raise MissingPrivilege(
                "the kernel refuses to load BPF programs: run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE"
            )
        raise BpfError(f"the kernel refused {self._name}: {_verifier_line(_messages) or os.strerror(code)}")

    def attach(self, program: str) -> None:
        """Attach a program where its section says; undone by :meth:`close`."""
        _messages.clear()
        link = self._library.bpf_program__attach(self._program(program))
        if not link:
            code = ctypes.get_errno()
            raise BpfError(f"cannot attach {program}: {_last_message() or os.strerror(code)}")
        self._links.append(link)

    def _program(self, name: str) -> int:
        found: int | None = self._library.bpf_object__find_program_by_name(self._object, name.encode())
        if not found:
            raise BpfError(f"{self._name} has no program called {name}; run `make bpf`")
        return found

    def program_fd(self, name: str) -> int:
        """Descriptor of a loaded program."""
        return int(self._library.bpf_program__fd(self._program(name)))

    def map(self, name: str) -> BpfMap:
        """A loaded map."""
        found = self._map(name)
        return BpfMap(name, self._library.bpf_map__fd(found), self._library.bpf_map__max_entries(found))

    def possible_cpus(self) -> int:
        """Number of values in one entry of a per-CPU map."""
        return int(self._library.libbpf_num_possible_cpus())

    def close(self) -> None:
        """Detach and release everything; the kernel frees it with the last descriptor."""
        for link in self._links:
            self._library.bpf_link__destroy(link)
        self._links.clear()
        if self._object:
            self._library.bpf_object__close(self._object)
            self._object = None


def _last_message() -> str:
    return " ".join(_messages[-1].split()) if _messages else ""


def _verifier_line(messages: list[str]) -> str:
    """The line of a verifier log that says what is wrong, and how many were left out."""
    for message in messages:
        if "PROG LOAD LOG" not in message:
            continue
        lines = [line for line in message.splitlines() if line.strip()]
        useful = [
            line
            for line in lines
            if not line.startswith(("--", "libbpf", "processed ", ";", "verification time")) and not line[0].isdigit()
        ]
        line = useful[-1].strip() if useful else lines[-1].strip()
        return f"{line} ({len(lines) - 1} lines omitted)"
    return _last_message()
