"""Where the host's files are and where our own may be kept: options of several commands."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ("add_place_arguments", "default_cache_dir")


def default_cache_dir(environ: Mapping[str, str] = os.environ, *, user_id: int | None = None) -> Path:
    """Return where caches belong: the system's for root (FHS), the user's otherwise (XDG base directories)."""
    if (os.geteuid() if user_id is None else user_id) == 0:
        return Path("/var/cache/otelprof")
    home = environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(home) if home.startswith("/") else Path(environ.get("HOME", "/tmp")) / ".cache") / "otelprof"  # noqa: S108


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--host-root`` and ``--cache-dir``; both arrive as paths."""
    parser.add_argument(
        "--host-root",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="where the root of the host is mounted (default: %(default)s)",
    )
    parser.add_argument(
        "--cache-dir",
        type=Path,
        default=default_cache_dir(),
        metavar="DIR",
        help="where to keep what was read from executables (default: %(default)s)",
    )
