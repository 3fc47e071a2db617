"""Text from profiled processes, made safe to look at."""

import re

__all__ = ("MAX_NAME_CHARACTERS", "visible_text")

MAX_NAME_CHARACTERS = 1000
"""Longer names are cut: a C++ symbol can be a megabyte long, and no reader looks at more than a few lines."""

# Characters that cannot be seen or that move others about: C0 and C1 controls, soft hyphen, joiners and direction
# marks, line separators, bidirectional controls (Unicode annex 9), invisible operators, byte order mark,
# interlinear annotations, tags, and lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


def visible_text(text: str) -> str:
    r"""Write invisible and direction-changing characters as ``\u{…}``, and cut what is too long.

    What is shown, searched and copied is then what is there.
    """
    if len(text) > MAX_NAME_CHARACTERS:
        text = text[: MAX_NAME_CHARACTERS - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return _INVISIBLE.sub(lambda match: f"\\u{{{ord(match[0]):x}}}", text)
