"""Messages that decode but make no sense, and bytes that once were a message."""

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from otelprof.model.layout import AnyValue, ProfilesData
from tests.model.strategies import messages

_INDICES = st.integers(-2, 6) | st.sampled_from([2**31 - 1, -(2**31)])
_INDEX_LISTS = st.lists(_INDICES, max_size=4)
_INT64 = st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63)])
_UINT64 = st.integers(0, 4) | st.sampled_from([2**64 - 1, 10**18])
_TEXTS = st.sampled_from(
    ["", "a", "service.name", "thread.id", "code.x", "count", "profile.frame.type", "process.executable.build_id.gnu"]
)


@st.composite
def _values(draw: DrawFn) -> AnyValue:
    value = AnyValue()
    kind = draw(st.integers(0, 6))
    if kind == 1:
        value.string_value = draw(_TEXTS)
    elif kind == 2:
        value.int_value = draw(_INT64)
    elif kind == 3:
        value.double_value = draw(st.floats())
    elif kind == 4:
        value.string_value_strindex = draw(_INDICES)
    elif kind == 5:
        value.array_value.values.add().string_value_strindex = draw(_INDICES)
    elif kind == 6:
        value.kvlist_value.values.add(key_strindex=draw(_INDICES), key=draw(_TEXTS))
    return value


@st.composite
def garbage_messages(draw: DrawFn) -> ProfilesData:
    """Messages of the right layout whose indices and numbers are anything."""
    data = ProfilesData()
    counts = st.integers(0, 3)
    dictionary = data.dictionary
    dictionary.string_table.extend(draw(st.lists(_TEXTS, max_size=6)))
    for _ in range(draw(counts)):
        dictionary.mapping_table.add(
            memory_start=draw(_UINT64),
            memory_limit=draw(_UINT64),
            filename_strindex=draw(_INDICES),
            attribute_indices=draw(_INDEX_LISTS),
        )
        dictionary.function_table.add(name_strindex=draw(_INDICES), start_line=draw(_INT64))
        location = dictionary.location_table.add(
            mapping_index=draw(_INDICES), address=draw(_UINT64), attribute_indices=draw(_INDEX_LISTS)
        )
        location.lines.add(function_index=draw(_INDICES), line=draw(_INT64), column=draw(_INT64))
    for _ in range(draw(counts)):
        dictionary.link_table.add(trace_id=draw(st.binary(max_size=17)), span_id=draw(st.binary(max_size=9)))
        dictionary.stack_table.add(location_indices=draw(_INDEX_LISTS))
        dictionary.attribute_table.add(key_strindex=draw(_INDICES), unit_strindex=draw(_INDICES), value=draw(_values()))
    for _ in range(draw(counts)):
        resource_profiles = data.resource_profiles.add()
        resource_profiles.resource.attributes.add(key=draw(_TEXTS), key_strindex=draw(_INDICES), value=draw(_values()))
        profile = resource_profiles.scope_profiles.add().profiles.add(
            time_unix_nano=draw(_UINT64),
            duration_nano=draw(_UINT64),
            period=draw(_INT64),
            profile_id=draw(st.binary(max_size=17)),
            attribute_indices=draw(_INDEX_LISTS),
        )
        profile.sample_type.type_strindex = draw(_INDICES)
        profile.period_type.unit_strindex = draw(_INDICES)
        for _ in range(draw(counts)):
            profile.samples.add(
                stack_index=draw(_INDICES),
                link_index=draw(_INDICES),
                attribute_indices=draw(_INDEX_LISTS),
                values=draw(st.lists(_INT64, max_size=2)),
                timestamps_unix_nano=draw(st.lists(_UINT64, max_size=2)),
            )
    return data


@st.composite
def damaged_messages(draw: DrawFn) -> bytes:
    """A good message with a few bytes changed, or its end cut off."""
    payload = bytearray(draw(messages()).SerializeToString())
    for _ in range(draw(st.integers(1, 3))):
        payload[draw(st.integers(0, len(payload) - 1))] = draw(st.integers(0, 255))
    return bytes(payload[: draw(st.integers(len(payload) // 2, len(payload)))])


def payloads() -> SearchStrategy[bytes]:
    """Bytes of every kind of badness."""
    return st.binary(max_size=200) | garbage_messages().map(ProfilesData.SerializeToString) | damaged_messages()
