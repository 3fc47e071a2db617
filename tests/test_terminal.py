"""Colours only where they are seen and wanted; nothing from outside steers the terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.terminal import Color, colors_wanted, one_line, paint


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "wanted"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_are_wanted(stream: io.StringIO, environ: dict[str, str], wanted: bool) -> None:
    assert colors_wanted(stream, environ) is wanted


def test_paint() -> None:
    assert paint("x", Color.RED) == "\x1b[31mx\x1b[0m"


@given(st.text())
def test_one_line_is_one_and_keeps_what_can_be_seen(text: str) -> None:
    line = one_line(text)

    assert line.isprintable()
    assert len(line) == len(text)
    assert one_line(line) == line
