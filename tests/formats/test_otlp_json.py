import http.client
import io
import json
import math
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.errors import BadProfile
from otelprof.formats import limits
from otelprof.formats.otlp_json import MAX_DEPTH, read_otlp_json, write_otlp_json
from otelprof.model.reader import read_samples
from tests.e2e.collector_process import running_collector
from tests.formats import messages


def example() -> ProfilesData:
    """A message with a field of every kind that OTLP profiles have."""
    data = ProfilesData()
    resource_profiles = data.resource_profiles.add(schema_url="https://example.org/1")
    attributes = resource_profiles.resource.attributes
    attributes.add(key="text", value=AnyValue(string_value='"ü\u2028\n'))
    attributes.add(key="empty", value=AnyValue(string_value=""))
    attributes.add(key="yes", value=AnyValue(bool_value=True))
    attributes.add(key="integer", value=AnyValue(int_value=-(2**63)))
    attributes.add(key="double", value=AnyValue(double_value=0.5))
    attributes.add(key="infinity", value=AnyValue(double_value=-math.inf))
    attributes.add(key="bytes", value=AnyValue(bytes_value=b"\x00\xff"))
    attributes.add(key="array").value.array_value.values.add(int_value=0)
    attributes.add(key="map").value.kvlist_value.values.add(key="k", value=AnyValue(string_value="v"))
    attributes.add(key_strindex=1, value=AnyValue(string_value_strindex=2))
    scope_profiles = resource_profiles.scope_profiles.add()
    scope_profiles.scope.name = "otelprof"
    profile = scope_profiles.profiles.add(
        time_unix_nano=2**64 - 1, duration_nano=10, profile_id=bytes(range(16)), dropped_attributes_count=2**32 - 1
    )
    profile.sample_type.type_strindex = 1
    profile.samples.add(stack_index=1, attribute_indices=[3, 4], values=[-1], timestamps_unix_nano=[2**63])
    dictionary = data.dictionary
    dictionary.string_table.extend(["", "a", "b"])
    dictionary.mapping_table.add()
    dictionary.mapping_table.add(memory_limit=2**64 - 1)
    dictionary.link_table.add(trace_id=b"\xab" * 16, span_id=b"\x01" * 8)
    dictionary.location_table.add(address=7).lines.add(function_index=1, line=3)
    return data


LINE = (
    '{"resourceProfiles":[{"resource":{"attributes":['
    '{"key":"text","value":{"stringValue":"\\"ü\u2028\\n"}},'
    '{"key":"empty","value":{"stringValue":""}},'
    '{"key":"yes","value":{"boolValue":true}},'
    '{"key":"integer","value":{"intValue":"-9223372036854775808"}},'
    '{"key":"double","value":{"doubleValue":0.5}},'
    '{"key":"infinity","value":{"doubleValue":"-Infinity"}},'
    '{"key":"bytes","value":{"bytesValue":"AP8="}},'
    '{"key":"array","value":{"arrayValue":{"values":[{"intValue":"0"}]}}},'
    '{"key":"map","value":{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}},'
    '{"value":{"stringValueStrindex":2},"keyStrindex":1}]},'
    '"scopeProfiles":[{"scope":{"name":"otelprof"},"profiles":[{"sampleType":{"typeStrindex":1},'
    '"samples":[{"stackIndex":1,"attributeIndices":[3,4],"values":["-1"],'
    '"timestampsUnixNano":["9223372036854775808"]}],'
    '"timeUnixNano":"18446744073709551615","durationNano":"10",'
    '"profileId":"000102030405060708090a0b0c0d0e0f","droppedAttributesCount":4294967295}]}],'
    '"schemaUrl":"https://example.org/1"}],'
    '"dictionary":{"mappingTable":[{},{"memoryLimit":"18446744073709551615"}],'
    '"locationTable":[{"address":"7","lines":[{"functionIndex":1,"line":"3"}]}],'
    '"linkTable":[{"traceId":"abababababababababababababababab","spanId":"0101010101010101"}],'
    '"stringTable":["","a","b"]}}\n'
)


def written(*messages: ProfilesData) -> bytes:
    stream = io.BytesIO()
    write_otlp_json(stream, messages)
    return stream.getvalue()


def read(data: bytes) -> list[ProfilesData]:
    return list(read_otlp_json(io.BytesIO(data)))


def test_every_kind_of_field_has_the_form_of_otlp_json() -> None:
    assert written(example()).decode() == LINE


def test_what_was_written_is_read_back() -> None:
    assert read(written(example(), ProfilesData(), example())) == [example(), ProfilesData(), example()]


def test_other_spellings_are_read() -> None:
    (message,) = read(
        b'\n  \n{"resourceProfiles":[{"scopeProfiles":[{"profiles":[{"sampleType":{},"periodType":null,'
        b'"timeUnixNano":5,"profileId":"FF","samples":[{"stackIndex":"3","values":[2]}],"later":{"a":[1]}}]}]}]}\n'
    )

    profile = message.resource_profiles[0].scope_profiles[0].profiles[0]
    assert profile.HasField("sample_type")
    assert not profile.HasField("period_type")
    assert profile.time_unix_nano == 5
    assert profile.profile_id == b"\xff"
    assert profile.samples[0].stack_index == 3
    assert list(profile.samples[0].values) == [2]


def test_not_a_number_is_read_back() -> None:
    data = ProfilesData()
    data.resource_profiles.add().resource.attributes.add(key="a", value=AnyValue(double_value=math.nan))

    (back,) = read(written(data))

    assert math.isnan(back.resource_profiles[0].resource.attributes[0].value.double_value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff", "line 2 is not OTLP/JSON: .*decode"),
        (b"{", "line 2 is not JSON: Expecting property name .* at character 2"),
        (b"[]", "line 2 is not OTLP/JSON: expected an object, got list"),
        (b'{"resourceProfiles":{}}', "expected a list, got dict"),
        (b'{"dictionary":[]}', "expected an object, got list"),
        (b'{"dictionary":{"stringTable":[1]}}', "stringTable: expected text, got int"),
        (b'{"dictionary":{"stringTable":["\\ud800"]}}', "stringTable: "),
        (b'{"dictionary":{"linkTable":[{"spanId":"0"}]}}', "spanId: "),
        (b'{"dictionary":{"mappingTable":[{"memoryStart":-1}]}}', "memoryStart: "),
        (b'{"dictionary":{"mappingTable":[{"memoryStart":"x"}]}}', "memoryStart: "),
        (b'{"dictionary":{"mappingTable":[{"memoryStart":1.5}]}}', "memoryStart: expected an integer, got float"),
        (b'{"dictionary":{"attributeTable":[{"value":{"boolValue":1}}]}}', "boolValue: expected true or false"),
        (b'{"dictionary":{"attributeTable":[{"value":{"doubleValue":[]}}]}}', "doubleValue: expected a number"),
        (b'{"dictionary":{"attributeTable":[{"value":{"bytesValue":"*"}}]}}', "bytesValue: "),
        (b"[" * 200_000, "line 2 is nested too deeply"),
    ],
)
def test_damaged_line_is_a_bad_profile_that_names_it(line: bytes, reason: str) -> None:
    with pytest.raises(BadProfile, match=reason):
        read(b"{}\n" + line + b"\n")


def nested(depth: int) -> bytes:
    value = '{"arrayValue":{"values":[' * depth + "]}}" * depth
    return f'{{"dictionary":{{"attributeTable":[{{"value":{value}}}]}}}}'.encode()


def test_nesting_is_limited_to_what_decoders_read() -> None:
    (message,) = read(nested(MAX_DEPTH // 2 - 2))

    assert ProfilesData.FromString(message.SerializeToString()) == message
    with pytest.raises(BadProfile, match="line 1 is nested too deeply"):
        read(nested(MAX_DEPTH // 2))


def test_line_beyond_the_limit_is_a_bad_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_INPUT_BYTES", 10)

    assert read(b"{       }\n") == [ProfilesData()]
    with pytest.raises(BadProfile, match="larger than"):
        read(b"{        }\n")


def fields_of(message: type) -> set[str]:
    names = set()
    pending = [message.DESCRIPTOR]  # type: ignore[attr-defined]
    while pending:
        for field in pending.pop().fields:
            if field.json_name not in names:
                names.add(field.json_name)
                if field.message_type is not None:
                    pending.append(field.message_type)
    return names


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("00"),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(fields_of(ProfilesData))), children, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=150)
@given(document=DOCUMENTS)
def test_any_document_is_read_or_refused(document: object) -> None:
    line = json.dumps(document).encode()
    try:
        documents = read(line)
    except BadProfile:
        return

    assert read(written(*documents)) == documents or "NaN" in line.decode()


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read(data)
    except BadProfile:
        return


def test_ten_thousand_samples_are_quick() -> None:
    data = ProfilesData()
    profile = data.resource_profiles.add().scope_profiles.add().profiles.add()
    for number in range(10_000):
        profile.samples.add(
            stack_index=number, attribute_indices=[1, number], timestamps_unix_nano=[1_700_000_000 * 10**9 + number]
        )

    started = time.process_time()
    assert read(written(data)) == [data]
    assert time.process_time() - started < 1


@pytest.mark.collector
def test_real_collector_reads_and_writes_the_same(tmp_path: Path) -> None:
    sent = [example(), messages.example()]
    with running_collector(tmp_path) as collector:
        connection = http.client.HTTPConnection(collector.http_endpoint, timeout=30)
        for number, message in enumerate(sent, start=1):
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1development/profiles", written(message), headers)
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b'{"partialSuccess":{}}')
            collector.wait_for_requests(number)
        connection.close()
        received = collector.received()

    kinds, samples = from_file = read((tmp_path / "profiles.otlp.jsonl").read_bytes())
    assert from_file == received
    assert list(read_samples(samples)) == list(read_samples(sent[1]))
    assert kinds.dictionary.link_table == sent[0].dictionary.link_table
    assert kinds.dictionary.mapping_table == sent[0].dictionary.mapping_table
    (profile,) = kinds.resource_profiles[0].scope_profiles[0].profiles
    (sent_profile,) = sent[0].resource_profiles[0].scope_profiles[0].profiles
    assert list(profile.samples) == list(sent_profile.samples)
    assert profile.time_unix_nano == sent_profile.time_unix_nano
    assert kinds.resource_profiles[0].resource.attributes[6].value.bytes_value == b"\x00\xff"
