"""Draw the README's pictures of a flame graph page from a recording, in light and dark.

From the top of the checkout, with any file that otelprof reads::

    .venv/bin/python -m docs.images.render recording.otlp

writes ``docs/images/flamegraph.png`` and ``docs/images/flamegraph-dark.png``.
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from otelprof.formats.flamegraph import write_page
from otelprof.formats.registry import open_profiles
from tests.chromium import open_page

_PICTURES = {"light": "flamegraph.png", "dark": "flamegraph-dark.png"}
_SIZE = (1280, 720)
_SCALE = 2


def render(recording: Path, folder: Path) -> None:
    """Draw both pictures of a recording into ``folder``."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("no Chromium is installed: `make deps` or the Debian package chromium")
    with TemporaryDirectory() as scratch:
        html = Path(scratch, "flamegraph.html")
        with html.open("wb") as stream:
            write_page(stream, open_profiles(recording))
        with open_page(Path(chromium), Path(scratch, "profile")) as page:
            page.resize(*_SIZE, scale=_SCALE)
            for theme, name in _PICTURES.items():
                page.prefer(prefers_color_scheme=theme)
                page.open(html.as_uri())
                page.evaluate("new Promise((done) => requestIdleCallback(done))")
                page.screenshot(folder / name)


if __name__ == "__main__":
    render(Path(sys.argv[1]), Path(__file__).parent)
