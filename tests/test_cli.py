"""Exit codes and sentences of the command line, with a command made for the test."""

import argparse
import logging
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from otelprof import __version__, cli
from otelprof.commands import COMMANDS, CommandEntry
from otelprof.errors import ConfigError, MissingFeature, UsageError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A command ``try-out`` whose ``run`` each test replaces."""
    module = ModuleType("tests.try_out")

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--number", type=int)

    vars(module).update(
        DESCRIPTION="Tries things out.", EXAMPLES="  otelprof try-out --number 3\n", add_arguments=add_arguments
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cli, "COMMANDS", {**COMMANDS, "try-out": CommandEntry(module.__name__, "try", True)})
    return module


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    logger = logging.getLogger("otelprof")
    before = logger.handlers[:], logger.level
    yield
    logger.handlers[:], logger.level = before


def raising(error: BaseException) -> object:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (UsageError("what is that?"), 2, "otelprof: what is that?\n"),
        (ConfigError("no such key"), 2, "otelprof: no such key\n"),
        (MissingFeature("no BTF"), 1, "otelprof: no BTF\n"),
        (MissingFeature("a\nb\x1b[31m"), 1, "otelprof: a b [31m\n"),
        (KeyError("x"), 1, "otelprof: unexpected KeyError: 'x'; `--log-level debug` shows where\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_error_is_one_sentence_and_an_exit_code(
    command: ModuleType,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    sentence: str,
) -> None:
    vars(command)["run"] = raising(error)

    assert status == cli.main(["try-out"])
    assert ("", sentence) == capsys.readouterr()


@pytest.mark.parametrize("flags", [["--log-level", "debug"], ["--log-level=debug"]])
def test_debug_level_shows_the_traceback(
    command: ModuleType, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    vars(command)["run"] = raising(MissingFeature("no BTF"))

    assert cli.main(["try-out", *flags]) == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith("Traceback")
    assert complaint.endswith("otelprof: no BTF\n")


def test_a_command_gets_its_arguments_and_gives_the_exit_code(command: ModuleType) -> None:
    seen: list[argparse.Namespace] = []

    def run(args: argparse.Namespace) -> int:
        seen.append(args)
        return 7

    vars(command)["run"] = run

    assert cli.main(["try-out", "--number", "3"]) == 7
    assert seen[0].number == 3
    assert seen[0].program == []


def test_a_program_keeps_its_own_options(command: ModuleType) -> None:
    seen: list[argparse.Namespace] = []

    def run(args: argparse.Namespace) -> int:
        seen.append(args)
        return 0

    vars(command)["run"] = run

    assert cli.main(["try-out", "--number", "3", "--", "ls", "--number", "x", "--", "-l"]) == 0
    assert seen[0].program == ["ls", "--number", "x", "--", "-l"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["chekc"], "there is no command 'chekc'; did you mean 'check'?"),
        (["zzz"], "there is no command 'zzz'; `otelprof --help` lists those there are"),
        ([], "no command given; `otelprof --help` lists them"),
        (["--colour"], "unrecognized arguments: --colour; see `otelprof --help`"),
        (["try-out", "--numb", "3"], "unrecognized arguments: --numb 3; see `otelprof try-out --help`"),
        (["try-out", "--number", "x"], "argument --number: invalid int value: 'x'; see `otelprof try-out --help`"),
        (["try-out", "--"], "no program follows `--`; see `otelprof try-out --help`"),
    ],
)
def test_bad_use_is_one_sentence_and_2(
    command: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    vars(command)["run"] = raising(AssertionError("must not run"))

    assert cli.main(arguments) == 2
    assert ("", f"otelprof: {sentence}\n") == capsys.readouterr()


def test_help_lists_every_command_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert name in text
        assert entry.help in text
    assert "sudo otelprof record" in text


def test_help_of_a_command_teaches_by_examples(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["try-out", "--help"]) == 0
    text = capsys.readouterr().out
    assert "usage: otelprof try-out [options] [-- program [arguments]]" in text
    assert "Tries things out." in text
    assert text.endswith("examples:\n  otelprof try-out --number 3\n")
    assert "--log-format {logfmt,json}" in text


def test_version_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert f"otelprof {__version__}\n" == capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = (
        "import sys; from otelprof import cli, commands; from types import ModuleType;"
        "module = ModuleType('flood'); sys.modules['flood'] = module;"
        "flood = lambda args: [sys.stdout.write('x' * 100_000) for _ in range(100)] and 0;"
        "vars(module).update(DESCRIPTION='', EXAMPLES='', add_arguments=lambda parser: None, run=flood);"
        "cli.COMMANDS = {'flood': commands.CommandEntry('flood', '')};"
        "sys.exit(cli.main(['flood']))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()

    assert process.wait() == 141
    assert complaint == b""


def test_the_command_line_itself_imports_nothing_heavy() -> None:
    script = (
        "import sys; from otelprof.cli import main; main(['--help']);"
        "print('loaded', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    loaded = set(done.stderr.split())

    assert "loaded" in loaded
    assert not loaded & {"grpc", "google", "prometheus_client", "elftools", "zstandard", "opentelemetry", "json"}


def test_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "otelprof", "chekc"], capture_output=True, check=False, text=True)

    assert done.returncode == 2
    assert done.stderr == "otelprof: there is no command 'chekc'; did you mean 'check'?\n"
