import pytest
from hypothesis import given, settings

from otelprof.errors import BadProfile
from otelprof.model.layout import ProfilesData
from otelprof.model.reader import parse_profiles, read_samples
from otelprof.model.stack import Frame, Function, Line, Mapping, Resource, SampleType
from tests.model.garbage import payloads
from tests.model.strategies import START_NS, WINDOW_NS, messages


def small_message() -> ProfilesData:
    data = ProfilesData()
    dictionary = data.dictionary
    for table in (
        dictionary.mapping_table,
        dictionary.location_table,
        dictionary.function_table,
        dictionary.link_table,
        dictionary.attribute_table,
        dictionary.stack_table,
    ):
        table.add()
    dictionary.string_table.extend(["", "samples", "count", "main", "service.name", "shop"])
    dictionary.function_table.add(name_strindex=3)
    location = dictionary.location_table.add(address=5)
    location.lines.add(function_index=1, line=9)
    dictionary.stack_table.add(location_indices=[1])
    resource_profiles = data.resource_profiles.add()
    resource_profiles.resource.attributes.add(key="service.name").value.string_value = "shop"
    profile = resource_profiles.scope_profiles.add().profiles.add(time_unix_nano=START_NS, duration_nano=WINDOW_NS)
    profile.sample_type.type_strindex = 1
    profile.sample_type.unit_strindex = 2
    profile.samples.add(stack_index=1, values=[4])
    return data


def test_reads_a_message() -> None:
    (sample,) = read_samples(small_message().SerializeToString())

    assert sample.resource == Resource((("service.name", "shop"),))
    assert sample.sample_type == SampleType("samples", "count")
    assert sample.stack == (Frame("", 5, None, (Line(Function("main"), 9),)),)
    assert (sample.values, sample.timestamps_ns, sample.link, sample.attributes) == ((4,), (), None, ())
    assert (sample.start_ns, sample.duration_ns) == (START_NS, WINDOW_NS)


@pytest.mark.parametrize(
    ("unit", "values", "timestamps_ns", "count", "total"),
    [
        (2, [4], [], 4, 4),
        (2, [], [7, 8], 2, 2),
        (2, [3, 4], [7, 8], 7, 7),
        (1, [400], [], 1, 400),
        (1, [300, 400], [7, 8], 2, 700),
        (1, [], [7], 1, 1),
        (2, [], [], 0, 0),
    ],
)
def test_counts_and_totals(unit: int, values: list[int], timestamps_ns: list[int], count: int, total: int) -> None:
    data = small_message()
    profile = data.resource_profiles[0].scope_profiles[0].profiles[0]
    profile.sample_type.unit_strindex = unit
    del profile.samples[:]
    profile.samples.add(values=values, timestamps_unix_nano=timestamps_ns)

    (sample,) = read_samples(data)

    assert (sample.count, sample.total) == (count, total)


def test_resolves_references_as_collectors_write_them() -> None:
    data = small_message()
    attributes = data.resource_profiles[0].resource.attributes
    del attributes[:]
    attributes.add(key_strindex=4).value.string_value_strindex = 5
    nested = attributes.add(key="k").value
    nested.array_value.values.add().string_value_strindex = 3
    nested.array_value.values.add().kvlist_value.values.add(key_strindex=2).value.int_value = 1

    (sample,) = read_samples(data)

    assert sample.resource.attributes == (("service.name", "shop"), ("k", ("main", (("count", 1),))))


def test_values_of_every_kind() -> None:
    data = small_message()
    attributes = data.resource_profiles[0].resource.attributes
    del attributes[:]
    attributes.add(key="a").value.bool_value = True
    attributes.add(key="b").value.double_value = 0.5
    attributes.add(key="c").value.bytes_value = b"\0"
    attributes.add(key="d")

    (sample,) = read_samples(data)

    assert sample.resource.attributes == (("a", True), ("b", 0.5), ("c", b"\0"), ("d", ""))


def test_mapping_with_its_build_ids() -> None:
    data = small_message()
    dictionary = data.dictionary
    dictionary.string_table.extend(["process.executable.build_id.gnu", "process.executable.build_id.htlhash"])
    for key, text in ((6, "ab"), (7, "cd")):
        dictionary.attribute_table.add(key_strindex=key).value.string_value = text
    dictionary.mapping_table.add(
        memory_start=1, memory_limit=9, file_offset=3, filename_strindex=5
    ).attribute_indices.extend([1, 2])
    dictionary.location_table[1].mapping_index = 1

    (sample,) = read_samples(data)

    assert sample.stack[0].mapping == Mapping("shop", 1, 9, 3, build_id_gnu="ab", build_id_htlhash="cd")


def test_attributes_that_are_not_set_are_left_out() -> None:
    data = small_message()
    data.resource_profiles[0].scope_profiles[0].profiles[0].samples[0].attribute_indices.append(0)

    (sample,) = read_samples(data)

    assert sample.attributes == ()


@settings(max_examples=30)
@given(messages())
def test_equal_rows_are_the_same_objects(data: ProfilesData) -> None:
    frames: dict[Frame, Frame] = {}
    for sample in read_samples(data):
        for frame in sample.stack:
            assert frames.setdefault(frame, frame) is frame


@pytest.mark.parametrize("index", [-1, 2, 2**31 - 1])
@pytest.mark.parametrize(
    ("place", "table"),
    [
        ("stack", "stack_table"),
        ("link", "link_table"),
        ("attribute", "attribute_table"),
        ("location", "location_table"),
        ("function", "function_table"),
        ("mapping", "mapping_table"),
        ("string", "string_table"),
        ("sample_type", "string_table"),
        ("resource", "string_table"),
    ],
)
def test_indices_that_point_nowhere_are_named(place: str, table: str, index: int) -> None:
    data = small_message()
    dictionary = data.dictionary
    resource = data.resource_profiles[0]
    profile = resource.scope_profiles[0].profiles[0]
    if table == "string_table" and index == 2:
        index = 6
    if place == "stack":
        profile.samples[0].stack_index = index
    elif place == "link":
        profile.samples[0].link_index = index
    elif place == "attribute":
        profile.samples[0].attribute_indices.append(index)
    elif place == "location":
        dictionary.stack_table[1].location_indices.append(index)
    elif place == "function":
        dictionary.location_table[1].lines[0].function_index = index
    elif place == "mapping":
        dictionary.location_table[1].mapping_index = index
    elif place == "string":
        dictionary.function_table[1].system_name_strindex = index
    elif place == "sample_type":
        profile.sample_type.type_strindex = index
    else:
        resource.resource.attributes.add(key_strindex=index)

    with pytest.raises(BadProfile, match=f"{table} has no row {index}"):
        list(read_samples(data))


def test_links_of_a_wrong_length_are_named() -> None:
    data = small_message()
    data.dictionary.link_table.add(trace_id=b"abc", span_id=b"d")
    data.resource_profiles[0].scope_profiles[0].profiles[0].samples[0].link_index = 1

    with pytest.raises(BadProfile, match=r"link_table\[1\]"):
        list(read_samples(data))


def test_bytes_that_are_no_message() -> None:
    with pytest.raises(BadProfile, match="not an OTLP profiles message"):
        parse_profiles(b"\xff\xff")


@settings(max_examples=30)
@given(payloads())
def test_garbage_is_read_or_refused(payload: bytes) -> None:
    try:
        samples = list(read_samples(payload))
    except BadProfile:
        return

    assert all(sample.count is not None for sample in samples)
