"""The flame graph page: one HTML file that needs nothing else."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

__all__ = ("write_page",)


def write_page(
    stream: BinaryIO, messages: Iterable["ProfilesData"], *, title: str = "", lost: int | None = None
) -> None:
    """Write the samples of the first sample type as a page.

    ``title`` says what was recorded; without it the page is named after the host. ``lost`` is the number of samples
    known to be missing from the messages. Raises BadProfile.
    """
    from otelprof.formats.flamegraph.page import render_page
    from otelprof.formats.flamegraph.payload import make_payload
    from otelprof.formats.selection import read_displayed

    stream.write(render_page(make_payload(read_displayed(messages), title=title, lost=lost)))
