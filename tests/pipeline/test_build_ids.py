"""What a build id alone is trusted for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.artifacts.keys import FileKey
from otelprof.pipeline import build_ids as module
from otelprof.pipeline.build_ids import BuildIdTable


def key(number: int) -> FileKey:
    return FileKey(1, number, 0, 0, 0)


class Contents(dict[FileKey, bytes]):
    """Contents that are known, by key."""

    def put(self, number: int, content: bytes) -> None:
        self[key(number)] = content


def test_a_file_alone_needs_no_proof() -> None:
    table = BuildIdTable(Contents().get)
    table.note("ab", key(1), 1)

    assert table.number("ab") == 1
    assert table.number("cd") == 0


def test_equal_files_of_several_containers_are_one_binary() -> None:
    contents = Contents()
    table = BuildIdTable(contents.get)
    for number in (1, 2, 3):
        contents.put(number, b"libc")
        table.note("ab", key(number), number)

    assert table.number("ab") == 3


def test_a_file_of_unknown_content_is_trusted_as_soon_as_it_is_known_to_be_equal() -> None:
    contents = Contents()
    table = BuildIdTable(contents.get)
    contents.put(1, b"libc")
    table.note("ab", key(1), 1)
    table.note("ab", key(2), 2)

    assert table.number("ab") == 0
    contents.put(2, b"libc")
    assert table.number("ab") == 2


def test_a_forged_build_id_is_trusted_never_again() -> None:
    contents = Contents()
    table = BuildIdTable(contents.get)
    contents.put(1, b"libc")
    contents.put(2, b"forged")
    for number in (1, 2):
        table.note("ab", key(number), number)
    assert table.number("ab") == 0

    contents.put(3, b"libc")
    table.note("ab", key(3), 3)
    assert table.number("ab") == 0


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from([b"libc", b"forged", None])), min_size=1))
def test_a_number_is_given_only_when_all_contents_are_equal(seen: list[tuple[int, bytes | None]]) -> None:
    contents = Contents()
    table = BuildIdTable(contents.get)
    for number, content in seen:
        if content is not None:
            contents.setdefault(key(number), content)
        table.note("ab", key(number), number)

    found = {contents.get(key(number)) for number, _ in seen}
    is_one = len({number for number, _ in seen}) == 1 or (len(found) == 1 and None not in found)
    assert table.number("ab") == (seen[-1][0] if is_one else 0)


def test_files_that_pretend_to_be_one_take_no_memory() -> None:
    contents = Contents()
    table = BuildIdTable(contents.get)
    for number in range(1, 100):
        table.note("unread", key(number), number)
        contents.put(1000 + number, b"content %d" % number)
        table.note("forged", key(1000 + number), 1000 + number)

    assert table.number("unread") == 0
    assert table.number("forged") == 0
    assert all(len(files.unread) <= module._MAX_UNREAD for files in table._files.values())
    assert all(len(files.contents) <= module._MAX_UNREAD for files in table._files.values())


def test_build_ids_that_were_not_seen_for_long_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BUILD_IDS", 3)
    table = BuildIdTable(Contents().get)
    for number, build_id in enumerate(["a", "b", "c", "a", "d", "e"], 1):
        table.note(build_id, key(ord(build_id)), number)

    assert [table.number(build_id) for build_id in "abcde"] == [4, 0, 0, 5, 6]
