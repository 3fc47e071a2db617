"""`otelprof check`: which files it takes, what it prints, how it exits. The rules have tests of their own."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof import cli
from otelprof.formats.registry import format_for
from otelprof.model.check import RULES
from tests.exporters.messages import batch


def clean() -> ProfilesData:
    return batch(processes=2).message()


def with_error() -> ProfilesData:
    message = clean()
    message.resource_profiles[0].scope_profiles[0].profiles[0].samples[0].stack_index = 999
    return message


def with_warning() -> ProfilesData:
    message = clean()
    message.resource_profiles[1].schema_url = ""
    return message


def with_notice() -> ProfilesData:
    message = clean()
    strings = message.dictionary.string_table
    key = list(strings).index("process.executable.build_id.htlhash")
    (row,) = [row for row, it in enumerate(message.dictionary.attribute_table) if it.key_strindex == key]
    message.dictionary.mapping_table[1].attribute_indices.remove(row)
    return message


def written(path: Path, *messages: ProfilesData) -> str:
    with path.open("wb") as stream:
        format_for(path).write(stream, messages)
    return str(path)


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", ["a.otlp", "a.otlp.jsonl"])
def test_a_clean_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert cli.main(["check", "--strict", written(tmp_path / name, clean())]) == 0
    assert lines_of(capsys) == ["1 file: nothing to complain about"]


def test_one_line_for_each_breach_and_1_for_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.otlp"
    path.write_bytes(with_error().SerializeToString())

    assert cli.main(["check", str(path)]) == 1
    *breaches, summary = lines_of(capsys)
    assert any(line.startswith(f"{path}: R21 error ") and "999" in line for line in breaches)
    assert summary.startswith("1 file: 1 error")


@pytest.mark.parametrize(("flags", "status"), [([], 0), (["--strict"], 1)])
def test_warnings_fail_only_when_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], status: int
) -> None:
    path = written(tmp_path / "a.otlp", with_warning())

    assert cli.main(["check", *flags, path]) == status
    breach, summary = lines_of(capsys)
    assert breach.startswith(f"{path}: R8 warning ")
    assert summary == "1 file: 1 warning"


def test_notices_never_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.otlp"
    path.write_bytes(with_notice().SerializeToString())

    assert cli.main(["check", str(path)]) == 0
    assert any(" R41 notice " in line for line in lines_of(capsys))


def test_messages_of_one_file_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "a.otlp.jsonl", clean(), with_warning())

    assert cli.main(["check", path]) == 0
    assert lines_of(capsys)[0].startswith(f"{path}: R8 warning message[1].")


@pytest.mark.parametrize(("suffix", "name"), [(".otlp", "x.proto"), (".otlp.jsonl", "out.json"), (".otlp", "plain")])
def test_a_name_that_promises_nothing_is_judged_by_its_content(tmp_path: Path, suffix: str, name: str) -> None:
    written(tmp_path / f"a{suffix}", clean())
    (tmp_path / f"a{suffix}").rename(tmp_path / name)

    assert cli.main(["check", "--strict", str(tmp_path / name)]) == 0


@pytest.mark.parametrize("name", ["a.pb.gz", "a.folded", "a.html"])
def test_other_formats_are_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert cli.main(["check", str(tmp_path / "a.otlp"), str(tmp_path / name)]) == 2
    assert f"check judges OTLP (.otlp and .otlp.jsonl); {tmp_path / name} is" in capsys.readouterr().err


def test_a_limit_on_the_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "a.otlp", clean())

    assert cli.main(["check", "--max-size", "100", path]) == 1
    assert lines_of(capsys)[0].startswith(f"{path}: R7 error ")
    assert cli.main(["check", "--max-size", "4MiB", path]) == 0


def test_damaged_files_are_one_sentence_each_and_the_others_are_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.otlp"
    cut.write_bytes(clean().SerializeToString()[:-30])
    broken = tmp_path / "broken.otlp.jsonl"
    broken.write_text('{"resourceProfiles": [\n')
    good = written(tmp_path / "good.otlp", with_warning())

    assert cli.main(["check", str(broken), str(tmp_path / "none.otlp"), str(cut), str(tmp_path), good]) == 1
    out, err = capsys.readouterr()
    assert [line.split(" ")[:3] for line in out.splitlines()[:2]] == [
        [f"{cut}:", "R1", "error"],
        [f"{good}:", "R8", "warning"],
    ]
    assert out.splitlines()[2:] == ["5 files: 1 error, 1 warning, 3 unreadable"]
    assert [line.partition(f"{tmp_path}")[0] for line in err.splitlines()] == [
        "otelprof: ",
        "otelprof: cannot read ",
        "otelprof: cannot read ",
    ]


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda data: b'{"' + data))
def test_any_bytes_are_judged(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "a.otlp"
    path.write_bytes(content)

    assert cli.main(["check", str(path)]) == 1


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a\x1b[31m\n.otlp"
    path.write_bytes(with_error().SerializeToString())

    assert cli.main(["check", str(path)]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_the_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--rules"]) == 0
    lines = lines_of(capsys)
    assert len(lines) == len(RULES)
    assert lines[0].startswith("R1   error    ")


def test_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check"]) == 2
    assert "no file to judge" in capsys.readouterr().err
