"""Keys: one name for one state of some files, and no other."""

import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otelprof.artifacts.keys import FileKey, key_name, may_still_change

numbers = st.integers(0, (1 << 64) - 1)
file_keys = st.builds(FileKey, numbers, numbers, numbers, numbers, numbers)


@given(st.lists(file_keys, min_size=1, max_size=3), st.lists(file_keys, min_size=1, max_size=3))
def test_names_tell_keys_apart(one: list[FileKey], other: list[FileKey]) -> None:
    assert (key_name(one) == key_name(other)) == (one == other)


@given(st.lists(st.integers(-(1 << 100), 1 << 100), min_size=5, max_size=5))
@example([(1 << 64) - 1] * 5)
@example([-1] * 5)
def test_names_are_file_names_whatever_a_file_system_says(numbers: list[int]) -> None:
    name = key_name([FileKey(*numbers)] * 3)
    assert re.fullmatch("[0-9a-f_+]{1,255}", name)


@pytest.mark.parametrize("count", [0, 4])
def test_a_key_has_few_files(count: int) -> None:
    with pytest.raises(ValueError, match="one to three files"):
        key_name([FileKey(1, 2, 3, 4, 5)] * count)


def test_a_key_follows_every_change(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"a")
    keys = [FileKey.from_stat(file.stat())]
    file.write_bytes(b"ab")
    keys.append(FileKey.from_stat(file.stat()))
    os.utime(file, ns=(1, 1))
    keys.append(FileKey.from_stat(file.stat()))
    copy = tmp_path / "copy"
    copy.write_bytes(b"ab")
    keys.append(FileKey.from_stat(copy.stat()))

    assert len({*keys}) == 4


def test_synthetic_keys_tell_facts_apart() -> None:
    keys = [FileKey.synthetic(*facts) for facts in ((), (b"",), (b"ab",), (b"a", b"b"), (b"", b"ab"))]

    assert len({*keys}) == 5
    assert all(key.is_synthetic for key in keys)
    assert FileKey.synthetic(b"a", b"b") == FileKey.synthetic(b"a", b"b")


def test_young_files_may_still_change() -> None:
    now, before = time.time_ns(), time.time_ns() - 10_000_000_000
    assert may_still_change([FileKey(1, 2, 3, before, now)])
    assert may_still_change([FileKey(1, 2, 3, now, before)])
    assert not may_still_change([FileKey(1, 2, 3, before, before), FileKey.synthetic(b"kernel")])
