"""Text that protobuf accepts."""

import re

__all__ = ("clean_text",)

_SURROGATES = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Replace surrogates, which stand for bytes that were not UTF-8 and which protobuf refuses, by U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
