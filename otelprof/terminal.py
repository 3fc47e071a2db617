"""What may be written to a terminal: single lines without control characters, and colours where they are wanted."""

import os
from collections.abc import Mapping
from enum import Enum
from typing import TextIO

__all__ = ("Color", "colors_wanted", "one_line", "paint")


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


def one_line(text: str) -> str:
    """Make text from outside (file names, replies of servers) harmless: line breaks and escapes become spaces."""
    return "".join(char if char.isprintable() else " " for char in text)
