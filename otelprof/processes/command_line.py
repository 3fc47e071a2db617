"""Command lines, read only on request: they may hold secrets.

An interpreter's own name says little: all Java programs would be one service ``java``. What it runs is told by its
arguments.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from otelprof.errors import OtelprofError
from otelprof.processes.procfs import ProcessDirectory

__all__ = ("MAX_COMMAND_LINE_BYTES", "program_of", "read_arguments")

MAX_COMMAND_LINE_BYTES = 32_768
"""Bytes read of one process: a long Java class path, and what comes after it."""


@dataclass(frozen=True, slots=True)
class _Interpreter:
    """How to find the program in an interpreter's arguments.

    ``program`` are options whose value is the program, ``value`` those with another value, ``inline`` those after
    which program text follows instead of a name. Other options stand alone.
    """

    name: re.Pattern[str]
    program: frozenset[str] = frozenset()
    value: frozenset[str] = frozenset()
    inline: frozenset[str] = frozenset()


_INTERPRETERS = (
    # python --help
    _Interpreter(
        re.compile(r"(?:python|pypy)[0-9.]*t?"),
        program=frozenset({"-m"}),
        value=frozenset({"-W", "-X", "--check-hash-based-pycs"}),
        inline=frozenset({"-c"}),
    ),
    # java --help
    _Interpreter(
        re.compile(r"java"),
        program=frozenset({"-jar", "-m", "--module"}),
        value=frozenset(
            {"-cp", "-classpath", "--class-path", "-p", "--module-path", "--upgrade-module-path", "--add-modules"}
            | {"--add-exports", "--add-opens", "--add-reads", "--limit-modules", "--enable-native-access", "--source"}
        ),
    ),
    # node --help
    _Interpreter(
        re.compile(r"node|nodejs|nsolid"),
        value=frozenset(
            {"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file"}
        ),
        inline=frozenset({"-e", "--eval", "-p", "--print", "-pe"}),
    ),
    # ruby --help, perl --help, php --help, sh(1)
    _Interpreter(re.compile(r"ruby[0-9.]*"), value=frozenset({"-r", "-I", "-C", "-E"}), inline=frozenset({"-e"})),
    _Interpreter(re.compile(r"perl[0-9.]*"), value=frozenset({"-I"}), inline=frozenset({"-e", "-E"})),
    _Interpreter(
        re.compile(r"php[0-9.]*"), program=frozenset({"-f"}), value=frozenset({"-c", "-d"}), inline=frozenset({"-r"})
    ),
    _Interpreter(re.compile(r"sh|bash|dash|zsh|ksh"), value=frozenset({"-o", "-O"}), inline=frozenset({"-c"})),
)

_SUFFIX = re.compile(r"\.(?:pyc?|pyz|jar|war|[cm]?js|[cm]?ts|rb|pl|php|sh)")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.$@+-]{0,99}")
"""What can be a name; program text, and most that could be a secret, cannot."""


def read_arguments(directory: ProcessDirectory) -> tuple[str, ...]:
    """Return the arguments of a process, its own name first; none for kernel threads or where they may not be read."""
    try:
        data = directory.read("cmdline", MAX_COMMAND_LINE_BYTES)
    except OtelprofError:
        return ()
    return tuple(data.removesuffix(b"\0").decode("utf-8", "replace").split("\0")) if data else ()


def program_of(executable: str, arguments: Sequence[str]) -> str:
    """Return the name of the program that an interpreter runs, "" if it is none or cannot be told.

    ``executable`` is the base name of the interpreter, ``arguments`` its command line with its own name first.
    ``python3 a.py`` gives ``a``, ``java -jar shop.jar`` ``shop``, ``python3 -m http.server`` ``http.server``.
    """
    for interpreter in _INTERPRETERS:
        if interpreter.name.fullmatch(executable):
            return _clean(_find_program(interpreter, arguments))
    return ""


def _find_program(interpreter: _Interpreter, arguments: Sequence[str]) -> str:
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in interpreter.program:
            return next(rest, "")
        if argument in interpreter.inline or argument == "-":
            return ""
        if argument in interpreter.value:
            next(rest, None)
        elif not argument.startswith(("-", "+")):
            return argument
    return ""


def _clean(program: str) -> str:
    base = program.rstrip("/").rpartition("/")[2]
    suffix = _SUFFIX.search(base)
    name = base[: suffix.start()] if suffix and suffix.end() == len(base) else base
    return name if _NAME.fullmatch(name) else ""
