"""Where separate debug files are looked for."""

import os
from pathlib import Path

import pytest

from otelprof.artifacts.keys import FileKey
from otelprof.errors import FileUnavailable
from otelprof.symbols.debugfiles import debug_file_candidates, find_debug_file, no_debug_file
from otelprof.symbols.identity import Identity

BY_ID = "/usr/lib/debug/.build-id/ab/cdef.debug"
IDENTITY = Identity(is_elf=True, build_id_gnu="abcdef", debuglink="tool.debug")


def test_by_build_id_first_then_by_name() -> None:
    assert debug_file_candidates(IDENTITY, "/opt/bin/tool") == (
        BY_ID,
        "/opt/bin/tool.debug",
        "/opt/bin/.debug/tool.debug",
        "/usr/lib/debug/opt/bin/tool.debug",
    )


def test_nothing_to_go_by() -> None:
    assert debug_file_candidates(Identity(is_elf=True), "/opt/bin/tool") == ()


@pytest.mark.parametrize("link", ["../../etc/passwd", "/etc/passwd", "..", "."])
def test_a_name_that_leads_elsewhere_is_not_followed(link: str) -> None:
    assert debug_file_candidates(Identity(is_elf=True, debuglink=link), "/opt/bin/tool") == ()


def test_a_binary_is_not_its_own_debug_file() -> None:
    candidates = debug_file_candidates(Identity(is_elf=True, debuglink="tool"), "/opt/bin/tool")
    assert candidates == ("/opt/bin/.debug/tool", "/usr/lib/debug/opt/bin/tool")


@pytest.mark.parametrize("path", ["", "[vdso]", "relative/tool"])
def test_without_a_place_there_is_no_name_beside_it(path: str) -> None:
    assert debug_file_candidates(IDENTITY, path) == (BY_ID,)


def test_the_first_that_exists_is_taken(tmp_path: Path) -> None:
    def open_in_root(path: str) -> int:
        return os.open(f"{tmp_path}{path}", os.O_RDONLY)

    assert find_debug_file(IDENTITY, "/opt/tool", open_in_root) is None
    for path in ("/opt/.debug/tool.debug", "/usr/lib/debug/opt/tool.debug"):
        file = tmp_path / path[1:]
        file.parent.mkdir(parents=True)
        file.write_text(path)

    found = find_debug_file(IDENTITY, "/opt/tool", open_in_root)

    assert found == ("/opt/.debug/tool.debug", FileKey.from_stat((tmp_path / "opt/.debug/tool.debug").stat()))


def test_some_binaries_have_none() -> None:
    with pytest.raises(FileUnavailable):
        no_debug_file("/any")
    assert find_debug_file(IDENTITY, "/opt/tool", no_debug_file) is None
