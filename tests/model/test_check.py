from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings

from otelprof.model.check import MAX_BREACHES, RULES, check, check_stream
from otelprof.model.layout import Profile, ProfilesData, Sample
from otelprof.model.link import Link
from otelprof.model.rules import Breach, Level
from otelprof.model.stack import Frame, Function, Line, Mapping, Resource
from tests.model.garbage import garbage_messages, payloads
from tests.model.strategies import CPU, OFF_CPU, START_NS, WINDOW_NS, Addition, build_message, messages

Breaker = Callable[[ProfilesData], None]

BREAKERS: dict[str, list[tuple[Breaker, set[str]]]] = {}
"""Functions that break one rule of a clean message, and all the rules that are then broken."""


def breaks(rule: str, *more: str) -> Callable[[Breaker], Breaker]:
    def enter(breaker: Breaker) -> Breaker:
        BREAKERS.setdefault(rule, []).append((breaker, {rule, *more}))
        return breaker

    return enter


def clean_message(*, start_ns: int = START_NS) -> ProfilesData:
    resource = Resource((("service.name", "shop"), ("process.pid", 7)))
    mapping = Mapping("/bin/shop", 0x1000, 0x9000, 0, build_id_gnu="ab" * 20, build_id_htlhash="cd" * 16)
    main = Frame("native", 0x2000, mapping, (Line(Function("main"), 3),))
    stack = (Frame("kernel", 0x5000), main)
    thread = (("thread.id", 8), ("thread.name", "worker"))
    link = Link(b"\1" * 16, b"\2" * 8)
    return build_message(
        [
            Addition(resource, CPU, stack, thread, (start_ns + 1, start_ns + 2), (), None),
            Addition(resource, CPU, stack[1:], thread, (start_ns + 3,), (), link),
            Addition(resource, OFF_CPU, stack, (), (start_ns + 4,), (700,), None),
        ],
        start_ns=start_ns,
    )


def first_profile(message: ProfilesData) -> Profile:
    return message.resource_profiles[0].scope_profiles[0].profiles[0]


def first_sample(message: ProfilesData) -> Sample:
    return first_profile(message).samples[0]


def add_string(message: ProfilesData, text: str) -> int:
    message.dictionary.string_table.append(text)
    return len(message.dictionary.string_table) - 1


def add_attribute(message: ProfilesData, key: str, value: str | float) -> int:
    row = message.dictionary.attribute_table.add(key_strindex=add_string(message, key))
    if isinstance(value, str):
        row.value.string_value = value
    elif isinstance(value, int):
        row.value.int_value = value
    else:
        row.value.double_value = value
    return len(message.dictionary.attribute_table) - 1


def add_location(message: ProfilesData, *, mapping: int = 0, address: int = 0, function: int = 0) -> int:
    """Add a location to a stack that is in use."""
    location = message.dictionary.location_table.add(mapping_index=mapping, address=address)
    if function:
        location.lines.add(function_index=function)
    index = len(message.dictionary.location_table) - 1
    message.dictionary.stack_table[1].location_indices.append(index)
    return index


def native_location(message: ProfilesData) -> int:
    """The location of the clean message that has a mapping."""
    (index,) = [index for index, row in enumerate(message.dictionary.location_table) if row.mapping_index]
    return index


def attribute_row(message: ProfilesData, text: str) -> int:
    (index,) = [index for index, row in enumerate(message.dictionary.attribute_table) if row.value.string_value == text]
    return index


@breaks("R2")
def no_resources(message: ProfilesData) -> None:
    message.CopyFrom(build_message([]))


@breaks("R3")
def no_scopes(message: ProfilesData) -> None:
    resource_profiles = message.resource_profiles.add(schema_url="x")
    resource_profiles.resource.attributes.add(key="service.name").value.string_value = "x"


@breaks("R4")
def no_profiles(message: ProfilesData) -> None:
    scope_profiles = message.resource_profiles[0].scope_profiles.add(schema_url="x")
    scope_profiles.scope.name = scope_profiles.scope.version = "x"


@breaks("R5")
def no_samples(message: ProfilesData) -> None:
    profile = message.resource_profiles[0].scope_profiles[0].profiles.add()
    profile.CopyFrom(first_profile(message))
    del profile.samples[:]


@breaks("R6")
def no_dictionary(message: ProfilesData) -> None:
    message.ClearField("dictionary")


@breaks("R8")
def no_schema_url(message: ProfilesData) -> None:
    message.resource_profiles[0].schema_url = ""


@breaks("R8")
def no_scope_schema_url(message: ProfilesData) -> None:
    message.resource_profiles[0].scope_profiles[0].schema_url = ""


@breaks("R8")
def no_scope_version(message: ProfilesData) -> None:
    message.resource_profiles[0].scope_profiles[0].scope.version = ""


@breaks("R10")
def mapping_first(message: ProfilesData) -> None:
    message.dictionary.mapping_table[0].file_offset = 1


@breaks("R10")
def location_first(message: ProfilesData) -> None:
    message.dictionary.location_table[0].address = 1


@breaks("R10")
def function_first(message: ProfilesData) -> None:
    message.dictionary.function_table[0].start_line = 1


@breaks("R10")
def stack_first(message: ProfilesData) -> None:
    message.dictionary.stack_table[0].location_indices.append(1)


@breaks("R11")
def link_first(message: ProfilesData) -> None:
    message.dictionary.link_table[0].span_id = b"\1" * 8


@breaks("R12")
def string_first(message: ProfilesData) -> None:
    message.dictionary.string_table[0] = "x"


@breaks("R13")
def attribute_first(message: ProfilesData) -> None:
    message.dictionary.attribute_table[0].unit_strindex = 1


@breaks("R13")
def attribute_first_has_value(message: ProfilesData) -> None:
    message.dictionary.attribute_table[0].value.string_value = ""


@breaks("R20")
def profile_attribute(message: ProfilesData) -> None:
    first_profile(message).attribute_indices.append(99)


@breaks("R20")
def period_unit(message: ProfilesData) -> None:
    first_profile(message).period_type.unit_strindex = -1


@breaks("R21")
def sample_link(message: ProfilesData) -> None:
    first_sample(message).link_index = 99


@breaks("R21")
def sample_stack(message: ProfilesData) -> None:
    first_profile(message).samples.add(stack_index=-1, timestamps_unix_nano=[START_NS])


@breaks("R21")
def sample_attribute(message: ProfilesData) -> None:
    first_sample(message).attribute_indices.append(2**31 - 1)


@breaks("R22")
def stack_location(message: ProfilesData) -> None:
    message.dictionary.stack_table[1].location_indices.append(99)


@breaks("R23")
def location_mapping(message: ProfilesData) -> None:
    add_location(message, mapping=99)


@breaks("R23")
def location_function(message: ProfilesData) -> None:
    add_location(message, function=-5)


@breaks("R23")
def location_attribute(message: ProfilesData) -> None:
    message.dictionary.location_table[1].attribute_indices.append(99)


@breaks("R24")
def mapping_filename(message: ProfilesData) -> None:
    message.dictionary.mapping_table[1].attribute_indices.append(99)


@breaks("R25")
def function_system_name(message: ProfilesData) -> None:
    message.dictionary.function_table[1].system_name_strindex = 99


@breaks("R26")
def attribute_unit(message: ProfilesData) -> None:
    message.dictionary.attribute_table[1].unit_strindex = 99


@breaks("R27")
def zero_location(message: ProfilesData) -> None:
    message.dictionary.stack_table[1].location_indices.append(0)


@breaks("R27")
def zero_attribute(message: ProfilesData) -> None:
    first_sample(message).attribute_indices.append(0)


@breaks("R27")
def zero_function(message: ProfilesData) -> None:
    message.dictionary.location_table[1].lines.add(line=1)


@breaks("R27")
def no_stack(message: ProfilesData) -> None:
    first_profile(message).samples.add(timestamps_unix_nano=[START_NS])


@breaks("R28")
def empty_key(message: ProfilesData) -> None:
    message.dictionary.attribute_table.add().value.string_value = "x"
    first_sample(message).attribute_indices.append(len(message.dictionary.attribute_table) - 1)


@breaks("R30")
def repeated_key(message: ProfilesData) -> None:
    table = message.dictionary.attribute_table
    row = table.add(key_strindex=table[first_sample(message).attribute_indices[0]].key_strindex)
    row.value.int_value = 99
    first_sample(message).attribute_indices.append(len(table) - 1)


@breaks("R31")
def repeated_resource_key(message: ProfilesData) -> None:
    message.resource_profiles[0].resource.attributes.add(key="process.pid").value.int_value = 9


@breaks("R31")
def empty_scope_key(message: ProfilesData) -> None:
    message.resource_profiles[0].scope_profiles[0].scope.attributes.add().value.int_value = 9


@breaks("R32")
def key_reference(message: ProfilesData) -> None:
    index = add_string(message, "referred")
    message.resource_profiles[0].resource.attributes.add(key_strindex=index).value.int_value = 9


@breaks("R32")
def nested_reference(message: ProfilesData) -> None:
    index = add_string(message, "referred")
    row = add_attribute(message, "k", "v")
    pairs = message.dictionary.attribute_table[row].value.kvlist_value.values
    pairs.add(key="x").value.array_value.values.add().string_value_strindex = index
    first_sample(message).attribute_indices.append(row)


@breaks("R33")
def pid_is_text(message: ProfilesData) -> None:
    message.resource_profiles[0].resource.attributes[1].value.string_value = "7"


@breaks("R33")
def host_name_is_number(message: ProfilesData) -> None:
    first_sample(message).attribute_indices.append(add_attribute(message, "host.name", 4))


@breaks("R34")
def unknown_frame_type(message: ProfilesData) -> None:
    message.dictionary.attribute_table[attribute_row(message, "native")].value.string_value = "cobol"


@breaks("R35")
def no_service(message: ProfilesData) -> None:
    del message.resource_profiles[0].resource.attributes[0]


@breaks("R35")
def empty_service(message: ProfilesData) -> None:
    message.resource_profiles[0].resource.attributes[0].value.string_value = ""


@breaks("R36")
def code_attribute(message: ProfilesData) -> None:
    first_sample(message).attribute_indices.append(add_attribute(message, "code.function.name", "f"))


@breaks("R36")
def code_attribute_of_resource(message: ProfilesData) -> None:
    message.resource_profiles[0].resource.attributes.add(key="code.line.number").value.int_value = 1


@breaks("R37")
def float_attribute(message: ProfilesData) -> None:
    first_sample(message).attribute_indices.append(add_attribute(message, "load", 0.5))


@breaks("R37")
def attribute_that_never_repeats(message: ProfilesData) -> None:
    key = add_string(message, "request.id")
    for number in range(100):
        message.dictionary.attribute_table.add(key_strindex=key).value.int_value = number
        row = len(message.dictionary.attribute_table) - 1
        first_profile(message).samples.add(stack_index=1, attribute_indices=[row], timestamps_unix_nano=[START_NS])


@breaks("R40")
def empty_range(message: ProfilesData) -> None:
    mapping = message.dictionary.mapping_table[1]
    mapping.memory_start = mapping.memory_limit = message.dictionary.location_table[native_location(message)].address


@breaks("R41")
def no_build_id(message: ProfilesData) -> None:
    message.dictionary.mapping_table.add(memory_start=1, memory_limit=2)
    add_location(message, mapping=2, address=1)


@breaks("R42")
def upper_case_build_id(message: ProfilesData) -> None:
    message.dictionary.attribute_table[attribute_row(message, "ab" * 20)].value.string_value = "AB" * 20


@breaks("R42")
def short_htlhash(message: ProfilesData) -> None:
    message.dictionary.attribute_table[attribute_row(message, "cd" * 16)].value.string_value = "cd"


@breaks("R42")
def deprecated_build_id(message: ProfilesData) -> None:
    row = add_attribute(message, "process.executable.build_id.profiling", "cd")
    message.dictionary.mapping_table[1].attribute_indices.append(row)


@breaks("R43")
def address_outside(message: ProfilesData) -> None:
    message.dictionary.location_table[native_location(message)].address = 0x9001


@breaks("R44")
def negative_column(message: ProfilesData) -> None:
    message.dictionary.location_table[native_location(message)].lines[0].column = -1


@breaks("R44")
def negative_start_line(message: ProfilesData) -> None:
    message.dictionary.function_table[1].start_line = -1


@breaks("R45")
def nameless_function(message: ProfilesData) -> None:
    message.dictionary.function_table.add(start_line=5)
    add_location(message, function=2)


@breaks("R46")
def bare_location(message: ProfilesData) -> None:
    index = add_location(message)
    row = attribute_row(message, "native")
    message.dictionary.location_table[index].attribute_indices.append(row)


@breaks("R50")
def short_trace_id(message: ProfilesData) -> None:
    message.dictionary.link_table[1].trace_id = b"\1" * 15


@breaks("R51")
def zero_link(message: ProfilesData) -> None:
    link = message.dictionary.link_table[1]
    link.trace_id, link.span_id = bytes(16), bytes(8)


@breaks("R52")
def zero_id(message: ProfilesData) -> None:
    first_profile(message).profile_id = bytes(16)


@breaks("R52")
def short_id(message: ProfilesData) -> None:
    first_profile(message).profile_id = b"abc"


@breaks("R53")
def payload(message: ProfilesData) -> None:
    first_profile(message).original_payload_format = "pprof"


@breaks("R60")
def no_event(message: ProfilesData) -> None:
    first_sample(message).ClearField("timestamps_unix_nano")


@breaks("R61")
def unequal_lengths(message: ProfilesData) -> None:
    first_sample(message).values.extend([1, 2, 3])


@breaks("R62")
def two_values(message: ProfilesData) -> None:
    first_sample(message).ClearField("timestamps_unix_nano")
    first_sample(message).values.extend([1, 2])


@breaks("R63")
def mixed_shapes(message: ProfilesData) -> None:
    first_sample(message).ClearField("timestamps_unix_nano")
    first_sample(message).values.append(1)


@breaks("R64")
def late_timestamp(message: ProfilesData) -> None:
    first_sample(message).timestamps_unix_nano.append(START_NS + WINDOW_NS)


@breaks("R64", "R65")
def early_timestamp(message: ProfilesData) -> None:
    first_sample(message).timestamps_unix_nano.append(START_NS - 1)


@breaks("R65")
def no_duration(message: ProfilesData) -> None:
    first_profile(message).duration_nano = 0


@breaks("R65")
def in_1970(message: ProfilesData) -> None:
    profile = first_profile(message)
    profile.duration_nano += profile.time_unix_nano - 5
    profile.time_unix_nano = 5


@breaks("R67")
def repeated_identity(message: ProfilesData) -> None:
    copy = first_profile(message).samples.add()
    copy.CopyFrom(first_sample(message))
    copy.attribute_indices[:] = list(copy.attribute_indices)[::-1]


@breaks("R68")
def no_period(message: ProfilesData) -> None:
    first_profile(message).period = 0


@breaks("R68")
def no_unit(message: ProfilesData) -> None:
    profile = message.resource_profiles[0].scope_profiles[0].profiles.add()
    profile.CopyFrom(first_profile(message))
    profile.sample_type.unit_strindex = 0


@breaks("R68")
def negative_time(message: ProfilesData) -> None:
    message.resource_profiles[0].scope_profiles[0].profiles[1].samples[0].values[0] = -1


@breaks("R70")
def repeated_string(message: ProfilesData) -> None:
    row = message.dictionary.attribute_table[1]
    row.unit_strindex = add_string(message, message.dictionary.string_table[row.key_strindex])


@breaks("R71")
def repeated_mapping(message: ProfilesData) -> None:
    copy = message.dictionary.mapping_table.add()
    copy.CopyFrom(message.dictionary.mapping_table[1])
    copy.attribute_indices[:] = list(copy.attribute_indices)[::-1]
    add_location(message, mapping=2, address=0x2001)


@breaks("R72")
def repeated_function(message: ProfilesData) -> None:
    message.dictionary.function_table.add().CopyFrom(message.dictionary.function_table[1])
    add_location(message, function=2)


@breaks("R72")
def repeated_stack(message: ProfilesData) -> None:
    message.dictionary.stack_table.add().CopyFrom(message.dictionary.stack_table[1])
    first_sample(message).stack_index = len(message.dictionary.stack_table) - 1


@breaks("R73")
def unused_string(message: ProfilesData) -> None:
    add_string(message, "nobody")


@breaks("R73")
def unused_link(message: ProfilesData) -> None:
    message.dictionary.link_table.add(trace_id=b"\5" * 16, span_id=b"\6" * 8)


@breaks("R74", "R73")
def used_by_unused_only(message: ProfilesData) -> None:
    message.dictionary.function_table.add(name_strindex=add_string(message, "f"))
    message.dictionary.location_table.add().lines.add(function_index=len(message.dictionary.function_table) - 1)


def rules(breaches: list[Breach]) -> set[str]:
    return {breach.rule for breach in breaches}


def cases() -> Iterator[object]:
    for rule, breakers in BREAKERS.items():
        for breaker, expected in breakers:
            yield pytest.param(breaker, rule, expected, id=f"{rule}-{breaker.__name__}")


def test_clean_message_breaks_nothing() -> None:
    assert check(clean_message()) == []
    assert check(clean_message().SerializeToString(), max_bytes=10_000) == []


@pytest.mark.parametrize(("breaker", "rule", "expected"), list(cases()))
def test_broken_rule_is_reported_and_no_other(breaker: Breaker, rule: str, expected: set[str]) -> None:
    message = clean_message()
    breaker(message)

    breaches = check(message.SerializeToString())

    assert rules(breaches) == expected
    (level,) = [item.level for item in RULES if item.id == rule]
    assert level in {breach.level for breach in breaches if breach.rule == rule}
    assert check(message) == breaches


def test_every_rule_has_a_case() -> None:
    tested_below = {"R1", "R7", "R66", "R80"}

    assert {rule.id for rule in RULES} == set(BREAKERS) | tested_below


def test_rules_are_listed_by_number_with_a_sentence() -> None:
    numbers = [int(rule.id[1:]) for rule in RULES]

    assert numbers == sorted(set(numbers))
    assert all(rule.sentence and rule.chapter.title for rule in RULES)


@pytest.mark.parametrize(
    "suffix",
    [
        pytest.param(b"\x98\x3f\x01", id="unknown field"),
        pytest.param(b"\x0a\x03\xc2\x3e\x00", id="unknown field inside"),
        pytest.param(b"\x12", id="left-over byte"),
        pytest.param(b"\x0a\x7f\x00", id="cut off"),
        pytest.param(b"\x00\x00", id="field 0"),
        pytest.param(b"\x07", id="wire type 7"),
        pytest.param(b"\x0a" + b"\xff" * 10, id="endless number"),
    ],
)
def test_bytes_beyond_the_layout_break_r1(suffix: bytes) -> None:
    breaches = check(clean_message().SerializeToString() + suffix)

    # A second field 1 without content is an empty ResourceProfiles as well.
    assert "R1" in rules(breaches)
    assert rules(breaches) <= {"R1", "R3", "R8", "R35"}


def test_unknown_fields_of_a_message_object_break_r1() -> None:
    message = ProfilesData.FromString(clean_message().SerializeToString() + b"\x98\x3f\x01")

    (breach,) = check(message)

    assert breach == Breach("R1", Level.ERROR, "message", "ProfilesData has no field 1011")
    assert message.SerializeToString().endswith(b"\x98\x3f\x01")


def test_older_layout_breaks_r1() -> None:
    # Sample as it was before 1.10: values 2, attribute_indices 3, link_index 4, timestamps 5.
    old = ProfilesData()
    profile = old.resource_profiles.add().scope_profiles.add().profiles.add()
    profile.samples.add().MergeFromString(b"\x08\x01\x12\x01\x07\x1a\x02\x01\x02")

    first = check(old.SerializeToString())[0]

    assert first.rule == "R1"
    assert first.where == "resource_profiles[0].scope_profiles[0].profiles[0].samples[0].link_index"
    assert "another layout" in first.message


def test_size_is_judged_against_the_limit_only_if_there_is_one() -> None:
    payload = clean_message().SerializeToString()

    assert rules(check(payload, max_bytes=len(payload) - 1)) == {"R7"}
    assert rules(check(clean_message(), max_bytes=len(payload) - 1)) == {"R7"}
    assert check(payload, max_bytes=len(payload)) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"main", "dictionary.string_table"),
        (b"shop", "resource_profiles[0].resource.attributes[0].value.string_value"),
        (b"otelprof", "resource_profiles[0].scope_profiles[0].scope.name"),
    ],
)
def test_text_that_is_not_utf8_breaks_r80_and_the_rest_is_still_judged(text: bytes, where: str) -> None:
    message = clean_message()
    first_profile(message).profile_id = bytes(16)
    payload = message.SerializeToString().replace(text, b"\xff" * len(text), 1)

    breaches = check(payload)

    assert rules(breaches) == {"R80", "R52"}
    (breach,) = [breach for breach in breaches if breach.rule == "R80"]
    assert breach.where.startswith(where)


def test_start_that_goes_back_is_a_notice_of_the_stream() -> None:
    stream = [clean_message(start_ns=START_NS + offset) for offset in (0, 10, 10, 5, 20)]

    (breach,) = check_stream(stream)

    assert (breach.rule, breach.level, breach.where) == ("R66", Level.NOTICE, "message[3]")


def test_message_without_start_does_not_hide_that_the_next_goes_back() -> None:
    unset = clean_message()
    for profile in unset.resource_profiles[0].scope_profiles[0].profiles:
        profile.time_unix_nano = 0
    stream = [clean_message(start_ns=START_NS + 10), unset, clean_message()]

    assert [breach.where for breach in check_stream(stream) if breach.rule == "R66"] == ["message[2]"]


def test_location_without_address_may_have_a_mapping() -> None:
    message = clean_message()
    message.dictionary.location_table[native_location(message)].address = 0

    assert check(message) == []


def test_stream_tells_which_message() -> None:
    broken = clean_message()
    first_profile(broken).profile_id = b"abc"

    (breach,) = check_stream([clean_message(), broken.SerializeToString()])

    assert str(breach).startswith("R52 error message[1].resource_profiles[0].scope_profiles[0].profiles[0]: profile_id")


def test_link_of_zero_bytes_first_is_a_warning() -> None:
    message = clean_message()
    message.dictionary.link_table[0].trace_id = bytes(16)
    message.dictionary.link_table[0].span_id = bytes(8)

    assert [(breach.rule, breach.level) for breach in check(message)] == [("R11", Level.WARNING)]


def test_missing_htlhash_is_a_notice() -> None:
    mapping = Mapping("/bin/gone", 0x1000, 0x2000, build_id_gnu="ab")
    sample = Addition(
        Resource((("service.name", "x"),)), CPU, (Frame("native", 0x1000, mapping),), (), (START_NS,), (), None
    )

    assert [(b.rule, b.level) for b in check(build_message([sample]))] == [("R41", Level.NOTICE)]


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ("mapping_table", "R10"),
        ("location_table", "R10"),
        ("function_table", "R10"),
        ("stack_table", "R10"),
        ("link_table", "R11"),
        ("string_table", "R12"),
        ("attribute_table", "R13"),
    ],
)
def test_empty_table_is_reported(table: str, rule: str) -> None:
    message = clean_message()
    message.dictionary.ClearField(table)  # type: ignore[arg-type]

    assert (rule, table) in {(breach.rule, breach.where) for breach in check(message)}


def test_threads_that_never_repeat_are_no_breach() -> None:
    samples = [
        Addition(
            Resource((("service.name", "x"),)), CPU, (Frame("kernel", 1),), (("thread.id", tid),), (START_NS,), (), None
        )
        for tid in range(1, 200)
    ]

    assert check(build_message(samples)) == []


def test_many_breaches_of_one_rule_are_summed_up() -> None:
    message = clean_message()
    for _ in range(MAX_BREACHES + 5):
        first_profile(message).samples.add(stack_index=1, link_index=1)

    breaches = [breach for breach in check(message) if breach.rule == "R60"]

    assert len(breaches) == MAX_BREACHES + 1
    assert breaches[-1].message == "5 more breaches of this rule"


def test_many_notices_do_not_become_an_error() -> None:
    samples = [
        Addition(
            Resource((("service.name", "x"),)),
            CPU,
            (Frame("native", 0x1000, Mapping(f"/bin/{number}", 0x1000, 0x2000, build_id_gnu="ab")),),
            (),
            (START_NS,),
            (),
            None,
        )
        for number in range(MAX_BREACHES + 1)
    ]

    assert {breach.level for breach in check(build_message(samples))} == {Level.NOTICE}


def test_empty_bytes_are_an_empty_message() -> None:
    assert rules(check(b"")) == {"R2", "R6"}


def test_frame_types_of_the_peer_are_known() -> None:
    message = clean_message()
    message.dictionary.attribute_table[attribute_row(message, "native")].value.string_value = "abort-marker"

    assert check(message) == []


@settings(max_examples=30)
@given(messages())
def test_what_the_builder_makes_is_clean(message: ProfilesData) -> None:
    assert {breach.level for breach in check(message.SerializeToString())} <= {Level.NOTICE}


@settings(max_examples=100)
@given(payloads())
def test_never_fails_on_bytes(payload: bytes) -> None:
    assert all(isinstance(breach, Breach) for breach in check(payload, max_bytes=100))


@settings(max_examples=100)
@given(garbage_messages())
def test_never_fails_on_messages(message: ProfilesData) -> None:
    before = message.SerializeToString()

    breaches = list(check_stream([message, message]))

    assert breaches
    assert message.SerializeToString() == before
    assert all(replace(breach).rule for breach in breaches)
