"""What the README shows works."""

import re
import shlex
from pathlib import Path

import pytest

from otelprof.cli import main
from otelprof.commands import COMMANDS
from otelprof.formats.registry import FORMATS
from tests.gates import ROOT

README = (ROOT / "README.md").read_text()


def console_commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [shlex.split(line, comments=True) for line in lines]


def test_the_library_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    exec(compile(example, "README.md", "exec"), {})


@pytest.mark.parametrize("command", [words for words in console_commands() if "otelprof" in words], ids=" ".join)
def test_every_command_line_is_understood(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    name, *options = command[command.index("otelprof") + 1 :]
    known = options[: options.index("--")] if "--" in options else options

    assert name in COMMANDS
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert all(option in text for option in known if option.startswith("-"))


def test_every_format_is_listed() -> None:
    assert all(f"| `{known.suffix}` |" in README for known in FORMATS)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {words[1] for words in console_commands() if words[0] == "make"}

    assert {"run", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_links_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert Path(document.parent, target).exists(), (document.name, target)
