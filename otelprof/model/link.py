"""The span that a sample belongs to."""

from dataclasses import dataclass

from otelprof.errors import BadSample

__all__ = ("Link",)


@dataclass(frozen=True, slots=True)
class Link:
    """A span: ``trace_id`` has 16 bytes and ``span_id`` 8, not both all zero; raises BadSample otherwise."""

    trace_id: bytes
    span_id: bytes

    def __post_init__(self) -> None:
        if len(self.trace_id) != 16 or len(self.span_id) != 8:
            raise BadSample("a link needs a trace id of 16 and a span id of 8 bytes")
        if not any(self.trace_id) and not any(self.span_id):
            raise BadSample("a link of zero bytes means that there is none; leave it out")
