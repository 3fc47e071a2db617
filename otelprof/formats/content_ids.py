"""Profile ids for what is read from files that have none."""

import hashlib
from collections.abc import Callable

__all__ = ("content_ids",)


def content_ids(content: bytes) -> Callable[[], bytes]:
    """Give a source of 16-byte profile ids that depend on the content of a file only.

    The same file read twice is then the same profiles, and a receiver that drops doubles drops them.
    """
    digest = hashlib.blake2b(content).digest()
    number = 0

    def next_id() -> bytes:
        nonlocal number
        number += 1
        return hashlib.blake2b(digest + number.to_bytes(4), digest_size=16).digest()

    return next_id
