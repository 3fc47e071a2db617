"""What an interpreter runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.processes.command_line import MAX_COMMAND_LINE_BYTES, program_of, read_arguments
from otelprof.processes.procfs import ProcessDirectory
from tests.processes.trees import HostTree


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("python3 a.py", "a"),
        ("python3.13t a.py b.py", "a"),
        ("python3 -u -X dev -W error /srv/shop/a.py --port 1", "a"),
        ("python3 -m http.server 80", "http.server"),
        ("python3 /usr/bin/gunicorn app:app", "gunicorn"),
        ("pypy3 a.pyc", "a"),
        ("python3 -c print(1)", ""),
        ("python3 -", ""),
        ("python3", ""),
        ("python3 -m", ""),
        ("java -jar /opt/shop-1.2.jar", "shop-1.2"),
        ("java -Xmx1g -cp a.jar:b.jar com.example.Main arg", "com.example.Main"),
        ("java --module-path mods -m shop/com.example.Main", "com.example.Main"),
        ("java @args", ""),
        ("node server.js", "server"),
        ("node --inspect -r dotenv/config /srv/api/server.mjs", "server"),
        ("node -e code", ""),
        ("ruby -r set job.rb", "job"),
        ("perl -I lib job.pl", "job"),
        ("php -d a=b -f page.php", "page"),
        ("bash /opt/backup.sh", "backup"),
        ("bash -c exit", ""),
        ("sh -o errexit +x job", "job"),
        ("cat a.py", ""),
        ("python3 /srv/my-app/", "my-app"),
        ("python3 " + "x" * 101, ""),
        ("python3 .hidden", ""),
    ],
)
def test_programs(command: str, program: str) -> None:
    arguments = command.split(" ")

    assert program_of(arguments[0], arguments) == program


@pytest.mark.parametrize("inline", ["import os; os.system('x')", "TOKEN='abc'", "a\nb"])
def test_program_text_is_never_a_name(inline: str) -> None:
    """Even where an unknown option hides that text follows."""
    assert program_of("python3", ["python3", "-Ic", inline]) == ""


@given(st.sampled_from(["python3", "java", "node", "sh", "cat"]), st.lists(st.text(max_size=12), max_size=6))
def test_any_arguments_are_taken(executable: str, arguments: list[str]) -> None:
    assert len(program_of(executable, arguments)) <= 100


def test_arguments(host: HostTree) -> None:
    host.process(5, arguments=["python3", "", "a b"])

    with ProcessDirectory(host.roots, 5) as directory:
        assert read_arguments(directory) == ("python3", "", "a b")


def test_no_arguments(host: HostTree) -> None:
    host.process(5)
    (host.root / host.process(6) / "cmdline").unlink()

    for pid in (5, 6):
        with ProcessDirectory(host.roots, pid) as directory:
            assert read_arguments(directory) == ()


def test_arguments_are_bounded(host: HostTree) -> None:
    host.process(5, arguments=["x" * 100_000])

    with ProcessDirectory(host.roots, 5) as directory:
        assert [len(argument) for argument in read_arguments(directory)] == [MAX_COMMAND_LINE_BYTES]
