"""Where caches belong."""

from pathlib import Path

import pytest

from otelprof.commands.places import default_cache_dir


@pytest.mark.parametrize(
    ("user_id", "environ", "expected"),
    [
        (0, {"HOME": "/root", "XDG_CACHE_HOME": "/x"}, "/var/cache/otelprof"),
        (1000, {"HOME": "/home/u"}, "/home/u/.cache/otelprof"),
        (1000, {"HOME": "/home/u", "XDG_CACHE_HOME": "/x"}, "/x/otelprof"),
        (1000, {"HOME": "/home/u", "XDG_CACHE_HOME": "relative"}, "/home/u/.cache/otelprof"),
    ],
)
def test_default_cache_dir(user_id: int, environ: dict[str, str], expected: str) -> None:
    assert Path(expected) == default_cache_dir(environ, user_id=user_id)
