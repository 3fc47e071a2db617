"""Join the page's parts into one self-contained HTML file."""

import base64
import hashlib
import html
import zlib
from importlib import resources
from string import Template

from otelprof.formats.flamegraph.payload import Payload

__all__ = ("render_page",)

_SCRIPTS = ("tree.js", "canvas.js", "page.js")
"""In the order in which they are joined: each uses only what came before it when it is loaded."""


def render_page(payload: Payload) -> bytes:
    """Write the page that shows ``payload``: UTF-8, no reference to anything outside of it.

    The payload is deflated and in base64, so that no text of a profiled process is in the markup; script and style
    are allowed by their hashes alone.
    """
    script = "".join(_asset(name) for name in _SCRIPTS)
    style = _asset("page.css")
    page = Template(_asset("page.html")).substitute(
        title=html.escape(str(payload.about["title"] or payload.about["host"] or "Flame graph")),
        script_hash=_hash(script),
        style_hash=_hash(style),
        script=script,
        style=style,
        payload=base64.b64encode(zlib.compress(payload.encode())).decode(),
    )
    return page.encode()


def _asset(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Name inline text as Content-Security-Policy level 2 does."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
