"""The conformance checker: does a message keep the rules of OTLP profiles?

The rules are those of the specification, of the conformance tool of the profiling SIG, and stricter ones that
receivers and backends have shown to need.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from google.protobuf.message import DecodeError

from otelprof.model.layout import ProfilesData
from otelprof.model.rules import WHOLE, Breach, Chapter, Needs, Rule
from otelprof.model.rules_attributes import ATTRIBUTES
from otelprof.model.rules_dictionary import DICTIONARY
from otelprof.model.rules_envelope import ENCODING, ENVELOPE
from otelprof.model.rules_places import IDS, PLACES
from otelprof.model.rules_samples import SAMPLES, TYPES
from otelprof.model.rules_tidiness import TIDINESS
from otelprof.model.view import View
from otelprof.model.wire import Damage, Finding, examine

__all__ = ("RULES", "check", "check_stream")

_CHAPTERS: tuple[Chapter, ...] = (
    ENCODING,
    ENVELOPE,
    DICTIONARY,
    ATTRIBUTES,
    PLACES,
    IDS,
    SAMPLES,
    TYPES,
    TIDINESS,
)

RULES: tuple[Rule, ...] = tuple(
    sorted((rule for chapter in _CHAPTERS for rule in chapter.rules), key=lambda rule: int(rule.id[1:]))
)
"""All rules, by number."""

MAX_BREACHES = 100
"""Breaches of one rule that are listed one by one; a last one of each level tells how many more there are."""


def check(data: ProfilesData | bytes, *, max_bytes: int | None = None) -> list[Breach]:
    """Judge one message; an empty list is a clean one.

    ``data`` is a message or a serialised ProfilesData or ExportProfilesServiceRequest, ``max_bytes`` what R7 allows.
    Never raises for what is in ``data``: bytes that cannot be decoded are a breach of R1 or R80. A rule that cannot
    be judged because another one is broken stays silent. Breaches come in the order of RULES.
    """
    view, available = _open(data, max_bytes)
    return list(_judge(view, available))


def check_stream(messages: Iterable[ProfilesData | bytes], *, max_bytes: int | None = None) -> Iterator[Breach]:
    """Judge the messages of one stream, in the order they were sent, and also what they say together.

    The place of a breach starts with the number of its message, from 0.
    """
    previous_start_ns = 0
    for index, data in enumerate(messages):
        view, available = _open(data, max_bytes, previous_start_ns)
        for breach in _judge(view, available):
            where = f"message[{index}]" if breach.where == WHOLE else f"message[{index}].{breach.where}"
            yield Breach(breach.rule, breach.level, where, breach.message)
        previous_start_ns = view.start_ns() or previous_start_ns


def _judge(view: View, available: frozenset[Needs]) -> Iterator[Breach]:
    for rule in RULES:
        if rule.chapter.needs in available:
            found = rule.examine(view)
            for place, message, level in islice(found, MAX_BREACHES):
                yield Breach(rule.id, level or rule.level, place, message)
            more = Counter(level or rule.level for _, _, level in found)
            for level, number in more.items():
                yield Breach(rule.id, level, WHOLE, f"{number} more breaches of this rule")


def _open(
    data: ProfilesData | bytes, max_bytes: int | None, previous_start_ns: int = 0
) -> tuple[View, frozenset[Needs]]:
    """Make a view, and tell what of it can be judged."""
    message: ProfilesData | None
    if isinstance(data, ProfilesData):
        size_bytes = data.ByteSize()
        message = ProfilesData()
        message.CopyFrom(data)
        findings = _unknown_fields(message, data)
    else:
        size_bytes = len(data)
        message, findings = _decode(data)
    available: set[Needs] = {"bytes"}
    if message is not None:
        available.add("message")
        if message.HasField("dictionary"):
            available.add("dictionary")
    view = View(
        ProfilesData() if message is None else message,
        findings=findings,
        size_bytes=size_bytes,
        max_bytes=max_bytes,
        previous_start_ns=previous_start_ns,
    )
    return view, frozenset(available)


def _decode(payload: bytes) -> tuple[ProfilesData | None, list[Finding]]:
    """Decode what can be decoded: text that is not UTF-8 is replaced, so that the rest can be judged."""
    try:
        message = ProfilesData.FromString(payload)
    except DecodeError as error:
        findings = examine(payload, ProfilesData.DESCRIPTOR)
        if not any(finding.damage is Damage.NOT_UTF8 for finding in findings):
            return None, findings or [Finding(Damage.BROKEN, WHOLE, str(error), 0, len(payload))]
    else:
        return message, _unknown_fields(message, payload)
    repaired = bytearray(payload)
    for finding in findings:
        if finding.damage is Damage.NOT_UTF8:
            text = payload[finding.start : finding.end]
            repaired[finding.start : finding.end] = bytes(byte if byte < 0x80 else 0x3F for byte in text)
    try:
        return ProfilesData.FromString(bytes(repaired)), findings
    except DecodeError:
        return None, findings


def _unknown_fields(message: ProfilesData, original: ProfilesData | bytes) -> list[Finding]:
    """Take the unknown fields out of a message and list them."""
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() == size:
        return []
    payload = original if isinstance(original, bytes) else original.SerializeToString()
    return examine(payload, ProfilesData.DESCRIPTOR)
