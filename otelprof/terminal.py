"""Colours, where a person is looking and has not asked for none."""

import os
from collections.abc import Mapping
from enum import Enum
from typing import TextIO

__all__ = ("Color", "colors_wanted", "paint")


class Color(Enum):
    """Select Graphic Rendition parameters of ECMA-48 that every terminal shows."""

    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"


def colors_wanted(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether ``stream`` is a terminal that shows colours; NO_COLOR (no-color.org) forbids them."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def paint(text: str, color: Color) -> str:
    """Wrap ``text`` in a colour and the way back."""
    return f"\x1b[{color.value}m{text}\x1b[0m"
