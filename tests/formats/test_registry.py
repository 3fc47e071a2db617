import subprocess
import sys
from pathlib import Path

import pytest

from otelprof.errors import BadProfile, InputError, UsageError
from otelprof.formats.files import write_atomically
from otelprof.formats.registry import FORMATS, format_for, open_profiles
from otelprof.formats.selection import read_displayed
from tests.formats.messages import example

READABLE = [known for known in FORMATS if known.reader]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("x.otlp", "otlp"),
        ("a/b.c/x.otlp.jsonl", "otlp-json"),
        ("x.pb.gz", "pprof"),
        ("x.folded", "folded"),
        ("x.html", "html"),
        (".otlp", "otlp"),
    ],
)
def test_suffix_tells_the_format(path: str, name: str) -> None:
    assert format_for(path).name == name
    assert format_for(Path(path)).name == name


@pytest.mark.parametrize("path", ["x", "x.jsonl", "x.OTLP", "x.otlp.bak", "otlp", "x.otlp/y"])
def test_other_names_are_refused_with_the_suffixes_there_are(path: str) -> None:
    with pytest.raises(UsageError, match=r"must end in one of \.otlp, \.otlp\.jsonl, \.pb\.gz, \.folded, \.html$"):
        format_for(path)


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_every_format_writes_a_file(tmp_path: Path, known: object) -> None:
    target = tmp_path / f"x{known.suffix}"  # type: ignore[attr-defined]
    write_atomically(target, lambda stream: format_for(target).write(stream, [example(), example()]))

    assert target.stat().st_size > 100


@pytest.mark.parametrize("suffix", [known.suffix for known in READABLE])
def test_every_format_that_can_be_read_counts_the_same(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"x{suffix}"
    write_atomically(target, lambda stream: format_for(target).write(stream, [example(), example()]))

    assert sum(total for _, total in read_displayed(open_profiles(target))) == 18


@pytest.mark.parametrize("suffix", [".otlp", ".otlp.jsonl", ".pb.gz"])
def test_other_names_are_read_by_their_first_bytes(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"x{suffix}"
    write_atomically(target, lambda stream: format_for(target).write(stream, [example()]))
    renamed = target.rename(tmp_path / "renamed")

    assert sum(total for _, total in read_displayed(open_profiles(renamed))) == 9


def test_page_cannot_be_read_back(tmp_path: Path) -> None:
    (tmp_path / "x.html").touch()

    with pytest.raises(UsageError, match=r"^\.html files cannot be read back, only written$"):
        list(open_profiles(tmp_path / "x.html"))


@pytest.mark.parametrize("name", ["x.otlp", "x.otlp.jsonl", "x.pb.gz", "x.folded", "x"])
def test_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x9f\x01\xff")

    with pytest.raises(BadProfile, match=f"/{name}: "):
        list(open_profiles(tmp_path / name))


def test_file_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^cannot read .*/x\.otlp: No such file or directory$"):
        list(open_profiles(tmp_path / "x.otlp"))
    with pytest.raises(InputError, match=r": Is a directory$"):
        list(open_profiles(tmp_path))


def test_looking_up_a_format_imports_none() -> None:
    code = (
        "import sys; from otelprof.formats.registry import format_for; format_for('x.pb.gz');"
        "print([name for name in sys.modules if 'protobuf' in name or name in ('gzip', 'json')])"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
