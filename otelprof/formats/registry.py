"""The file formats, found by suffix; a format's module is imported when it is used."""

import os
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from otelprof.errors import BadProfile, InputError, UsageError

if TYPE_CHECKING:
    from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

__all__ = ("FORMATS", "Format", "format_for", "open_profiles")


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    ``writer`` and ``reader`` name functions as ``module:function``: a writer takes a binary stream and
    messages, a reader takes a stream and yields messages, raising BadProfile. ``reader`` is "" where
    there is none.
    """

    name: str
    suffix: str
    description: str
    writer: str
    reader: str = ""

    def write(self, stream: BinaryIO, messages: Iterable["ProfilesData"]) -> None:
        """Write the messages as one file of this format."""
        pkgutil.resolve_name(self.writer)(stream, messages)

    def read(self, stream: BinaryIO) -> Iterator["ProfilesData"]:
        """Read the messages of a file of this format; raises BadProfile, or UsageError if it is only written."""
        if not self.reader:
            raise UsageError(f"{self.suffix} files cannot be read back, only written")
        messages: Iterator[ProfilesData] = pkgutil.resolve_name(self.reader)(stream)
        return messages


_OTLP = Format("otlp", ".otlp", "OTLP protobuf", "otelprof.formats.otlp:write_otlp", "otelprof.formats.otlp:read_otlp")
_OTLP_JSON = Format(
    "otlp-json",
    ".otlp.jsonl",
    "OTLP as JSON lines, like the Collector's file exporter",
    "otelprof.formats.otlp_json:write_otlp_json",
    "otelprof.formats.otlp_json:read_otlp_json",
)
_PPROF = Format(
    "pprof",
    ".pb.gz",
    "pprof, for go tool pprof and others",
    "otelprof.formats.pprof_writer:write_pprof",
    "otelprof.formats.pprof_reader:read_pprof",
)
_FOLDED = Format(
    "folded",
    ".folded",
    "folded stacks, one line a stack, for flame graph tools",
    "otelprof.formats.folded:write_folded",
    "otelprof.formats.folded:read_folded",
)
_HTML = Format("html", ".html", "self-contained flame graph page", "otelprof.formats.flamegraph:write_page")

FORMATS = (_OTLP, _OTLP_JSON, _PPROF, _FOLDED, _HTML)
"""Every format, in the order in which they are offered to users."""

_GZIP_MAGIC = b"\x1f\x8b"


def format_for(path: str | os.PathLike[str]) -> Format:
    """Give the format that the name of a file asks for; raises UsageError listing the known suffixes."""
    name = Path(path).name
    for known in FORMATS:
        if name.endswith(known.suffix):
            return known
    suffixes = ", ".join(known.suffix for known in FORMATS)
    raise UsageError(f"the name {name!r} tells no file format; it must end in one of {suffixes}")


def open_profiles(path: str | os.PathLike[str]) -> Iterator["ProfilesData"]:
    """Read the messages of a file in the format that its suffix, else its first bytes tell.

    Raises InputError when it cannot be read, BadProfile (naming the file) when its content is damaged.
    """
    try:
        with Path(path).open("rb") as stream:
            yield from _read_format(path, stream).read(stream)
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from error
    except BadProfile as error:
        raise BadProfile(f"{os.fspath(path)}: {error}") from error


def _read_format(path: str | os.PathLike[str], stream: BinaryIO) -> Format:
    try:
        return format_for(path)
    except UsageError:
        start = stream.read(64)
        stream.seek(0)
    if start.startswith(_GZIP_MAGIC):
        return _PPROF
    return _OTLP_JSON if start.lstrip().startswith(b"{") else _OTLP
