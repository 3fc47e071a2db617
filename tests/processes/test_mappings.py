"""The text of ``/proc/<pid>/maps``."""

import mmap
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.errors import ProcessGone
from otelprof.processes.mappings import Mappings, ProcessMapping, parse_maps, read_mappings
from otelprof.roots import HostRoots
from tests.processes.trees import HostTree


def line(
    path: str = "/usr/bin/app", *, permissions: str = "r-xp", inode: int = 99, start: int = 0x55D0_0000_2000
) -> str:
    """A line of maps, padded as the kernel pads it."""
    head = f"{start:08x}-{start + 0x1000:08x} {permissions} 00002000 fe:01 {inode} "
    return f"{head:<73}{path}\n" if path else f"{head}\n"


def only(text: str | bytes) -> ProcessMapping:
    mappings = parse_maps([text.encode() if isinstance(text, str) else text])
    assert not mappings.truncated
    (entry,) = mappings.entries
    return entry


def test_every_field() -> None:
    assert only(line()) == ProcessMapping(
        start=0x55D0_0000_2000,
        end=0x55D0_0000_3000,
        file_offset=0x2000,
        device=os.makedev(0xFE, 0x01),
        inode=99,
        path="/usr/bin/app",
        deleted=False,
    )


@pytest.mark.parametrize("permissions", ["r-xp", "--xp", "rwxp", "-wxp", "r-xs", "rwxs"])
def test_executable_mappings_are_kept(permissions: str) -> None:
    assert only(line(permissions=permissions)).path == "/usr/bin/app"


@pytest.mark.parametrize("permissions", ["r--p", "rw-p", "---p", "rw-s"])
def test_other_mappings_are_not(permissions: str) -> None:
    assert parse_maps([line("/opt/x xp r-xp/x", permissions=permissions).encode()]) == Mappings()


@pytest.mark.parametrize(
    ("shown", "path", "deleted"),
    [
        ("/usr/bin/app (deleted)", "/usr/bin/app", True),
        ("/opt/my app/b in", "/opt/my app/b in", False),
        (r"/tmp/two\012lines", "/tmp/two\nlines", False),
        (r"/tmp/back\slash\040", r"/tmp/back\slash\040", False),
        ("/tmp/ends with space (deleted) (deleted)", "/tmp/ends with space (deleted)", True),
        ("/memfd:x (deleted)", "/memfd:x", True),
        ("/dev/zero (deleted)", "/dev/zero", True),
        ("/SYSV00000000 (deleted)", "/SYSV00000000", True),
        ("//anon", "//anon", False),
    ],
)
def test_paths(shown: str, path: str, deleted: bool) -> None:
    entry = only(line(shown))

    assert (entry.path, entry.deleted) == (path, deleted)
    assert entry.is_file


@pytest.mark.parametrize("path", ["", "[anon:JIT code]", "[heap]", "[uprobes]"])
def test_executable_memory_without_a_file_is_kept(path: str) -> None:
    entry = only(line(path, inode=0))

    assert (entry.path, entry.is_file, entry.is_vdso) == (path, False, False)


def test_the_vdso_is_marked() -> None:
    assert only(line("[vdso]", inode=0)).is_vdso
    assert not only(line("/tmp/[vdso]")).is_vdso


def test_the_vsyscall_page_is_nobodys_code() -> None:
    text = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"

    assert parse_maps([text.encode()]) == Mappings()


def test_a_path_that_is_not_utf8_can_be_given_back() -> None:
    entry = only(line("/tmp/X").encode().replace(b"X", b"caf\xe9"))

    assert os.fsencode(entry.path) == b"/tmp/caf\xe9"


def test_paths_are_shared() -> None:
    first, second = (parse_maps([line().encode()]).entries[0] for _ in range(2))

    assert first.path is second.path


@given(st.integers(1, 200))
def test_chunks_may_be_cut_anywhere(size: int) -> None:
    text = "".join(line(f"/usr/lib/lib{number}.so", start=number << 12) for number in range(1, 30)).encode()
    whole = parse_maps([text])

    assert len(whole.entries) == 29
    assert parse_maps(text[at : at + size] for at in range(0, len(text), size)) == whole


def test_too_many_mappings() -> None:
    chunks = [line(start=number << 12).encode() for number in range(1, 20)]

    assert parse_maps(chunks, max_mappings=19) == parse_maps(chunks)
    assert parse_maps(chunks, max_mappings=18) == Mappings(parse_maps(chunks).entries[:18], truncated=True)


def test_too_much_text_is_not_read() -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield line(permissions="rw-p").encode() * 100

    assert parse_maps(endless(), max_bytes=100_000).truncated
    assert read < 20


def test_a_line_without_end_is_not_kept() -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 4096

    assert parse_maps(endless()) == Mappings(truncated=True)
    assert read < 10


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from(["f", "-", " r-xp ", "0", "fe:01 ", "9 ", "/a", "\n", "fffffffff:fffffffff "])).map(
            lambda parts: "".join(parts).encode()
        ),
    )
)
def test_any_bytes_are_taken(text: bytes) -> None:
    for entry in parse_maps([text]).entries:
        assert entry.inode >= 0


@given(
    st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]), min_size=1, max_size=40), st.booleans()
)
def test_any_path_is_read_back(name: str, deleted: bool) -> None:
    path = "/" + name.replace("\\", "|") + "."
    entry = only(line(path + (" (deleted)" if deleted else "")))

    assert (entry.path, entry.deleted) == (path, deleted)


def test_own_mappings() -> None:
    with mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC):
        entries = read_mappings(HostRoots(), os.getpid()).entries

    assert [entry.start for entry in entries] == sorted(entry.start for entry in entries)
    assert any(entry.path.endswith("/libc.so.6") and entry.is_file for entry in entries)
    assert any(entry.is_vdso for entry in entries)
    assert any(not entry.is_file and not entry.path.startswith("[v") for entry in entries)
    assert not any(entry.path == "[stack]" for entry in entries)


def test_no_mappings_of_nobody(host: HostTree) -> None:
    with pytest.raises(ProcessGone):
        read_mappings(host.roots, 4)
