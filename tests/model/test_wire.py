import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelprof.model.layout import ProfilesData, Sample
from otelprof.model.wire import MAX_FINDINGS, Damage, Finding, examine
from tests.model.garbage import payloads
from tests.model.strategies import messages


def examine_sample(payload: bytes) -> list[Finding]:
    return examine(payload, Sample.DESCRIPTOR)


@settings(max_examples=30)
@given(messages())
def test_good_messages_have_no_findings(message: ProfilesData) -> None:
    assert examine(message.SerializeToString(), ProfilesData.DESCRIPTOR) == []


def test_single_and_packed_numbers_are_both_good() -> None:
    assert examine_sample(b"\x10\x01\x10\x02\x12\x02\x03\x04\x29" + bytes(8) + b"\x2a\x08" + bytes(8)) == []


@pytest.mark.parametrize(
    ("payload", "where", "message"),
    [
        (b"\x08", "byte 1", "a number has no end"),
        (b"\x08" + b"\x80" * 11, "byte 1", "a number has no end"),
        (b"\x12\x05\x01", "byte 2", "a value of 5 bytes does not fit into the 1 that are left"),
        (b"\x29\x00", "byte 1", "a value of 8 bytes does not fit into the 1 that are left"),
        (b"\x0b", "byte 1", "wire type 3 is not in use"),
        (b"\x08\x01\x01\x00", "byte 2", "there is no field 0"),
    ],
)
def test_breakage_ends_the_list(payload: bytes, where: str, message: str) -> None:
    (finding,) = examine_sample(payload)

    assert finding[:3] == (Damage.BROKEN, where, message)


def test_unknown_fields_and_wire_types_are_passed_over() -> None:
    first, second, third = examine_sample(b"\x30\x01" + b"\x1a\x01\x05" + b"\x2d\x00\x00\x00\x00")

    assert first[:3] == (Damage.UNKNOWN, "", "Sample has no field 6")
    assert (second.damage, second.where) == (Damage.UNKNOWN, "link_index")
    assert second.message.startswith("wire type 2 instead of 0")
    assert third.where == "timestamps_unix_nano[0]"


def test_places_are_paths() -> None:
    message = ProfilesData()
    for name in ("a", "b"):
        message.resource_profiles.add().resource.attributes.add(key=name * 3)
    payload = message.SerializeToString().replace(b"bbb", b"b\xffb")

    (finding,) = examine(payload, ProfilesData.DESCRIPTOR)

    assert finding[:2] == (Damage.NOT_UTF8, "resource_profiles[1].resource.attributes[0].key")
    assert payload[finding.start : finding.end] == b"b\xffb"


def test_nesting_is_bounded() -> None:
    message = ProfilesData()
    value = message.resource_profiles.add().resource.attributes.add().value
    for _ in range(60):
        value = value.array_value.values.add()

    (finding,) = examine(message.SerializeToString(), ProfilesData.DESCRIPTOR)

    assert "nested deeper" in finding.message


def test_findings_are_bounded() -> None:
    assert len(examine_sample(b"\x30\x01" * 1000)) == MAX_FINDINGS


@settings(max_examples=30)
@given(st.binary(max_size=300) | payloads())
def test_ends_on_any_bytes(payload: bytes) -> None:
    for finding in examine(payload, ProfilesData.DESCRIPTOR):
        assert 0 <= finding.start <= finding.end <= len(payload)
