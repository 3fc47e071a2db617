"""What all commands have in common."""

import pytest

from otelprof import cli
from otelprof.commands import COMMANDS, Command, check, doctor, version

MODULES: tuple[Command, ...] = (check, doctor, version)
"""mypy proves here that modules are commands."""


@pytest.mark.parametrize("name", ["check", "doctor", "version"])
def test_help_teaches_by_examples_and_fits_a_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"otelprof {name}" in text.partition("examples:\n")[2]
    assert "--log-level" in text
    assert max(map(len, text.splitlines())) <= 110


def test_every_command_has_a_line_of_help() -> None:
    for name, entry in COMMANDS.items():
        assert entry.module == f"otelprof.commands.{name}"
        assert 20 < len(entry.help) < 80
