"""Rust names: the examples of RFC 2603 and of rustc's tests, and hostile ones."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.symbols.rust_legacy import demangle_legacy, is_legacy
from otelprof.symbols.rust_v0 import demangle_v0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_RNvC7mycrate3foo", "mycrate::foo"),
        ("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"),
        ("_RNvC6_123foo3bar", "123foo::bar"),
        ("_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y", "utf8_idents::საჭმელად_გემრიელი_სადილი"),
        ("_RNvC1au9bcher_kva", "a::bücher"),
        ("_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}"),
        ("_RNCNvC1a1bs_0", "a::b::{closure#1}"),
        ("_RNSNvC1a1b6vtable", "a::b::{shim:vtable#0}"),
        (
            "_RNCINkXs25_NgCsbmNqQUJIY6D_4core5sliceINyB9_4IterhENuNgNoBb_4iter8iterator8Iterator9rpositionNCNgNpB9_"
            "6memchr7memrchrs_0E0Bb_",
            "<core::slice::Iter<u8> as core::iter::iterator::Iterator>::rposition::<core::slice::memchr::memrchr::"
            "{closure#1}>::{closure#0}",
        ),
        (
            "_RINbNbCskIICzLVDPPb_5alloc5alloc8box_freeDINbNiB4_5boxed5FnBoxuEp6OutputuEL_ECs1iopQbuBiw2_3std",
            "alloc::alloc::box_free::<dyn alloc::boxed::FnBox<(), Output = ()>>",
        ),
        ("_RINtC8arrayvec8ArrayVechKj7b_E", "arrayvec::ArrayVec::<u8, 123>"),
        ("_RMCs4fqI2P2rA04_13const_genericINtB0_6SignedKs98_E", "<const_generic::Signed<152>>"),
        ("_RMCs4fqI2P2rA04_13const_genericINtB0_6SignedKanb_E", "<const_generic::Signed<-11>>"),
        ("_RMCs4fqI2P2rA04_13const_genericINtB0_4BoolKb0_E", "<const_generic::Bool<false>>"),
        ("_RMCs4fqI2P2rA04_13const_genericINtB0_4CharKc76_E", "<const_generic::Char<'v'>>"),
        ("_RMCs4fqI2P2rA04_13const_genericINtB0_4CharKca_E", r"<const_generic::Char<'\u{a}'>>"),
        ("_RMCs4fqI2P2rA04_13const_genericINtB0_4CharKc2202_E", "<const_generic::Char<'∂'>>"),
        ("_RNvNvMCs4fqI2P2rA04_13const_genericINtB4_3FooKpE3foo3FOO", "<const_generic::Foo<_>>::foo::FOO"),
        ("_RIC0FG_RL0_hEuE", "::<for<'a> fn(&'a u8)>"),
        ("_RNvXs_C1aNtB4_3FooNtB4_3Bar3baz", "<a::Foo as a::Bar>::baz"),
        ("_RNvYNtC1a3FooNtB4_3Bar3baz", "<a::Foo as a::Bar>::baz"),
        ("_RINvC1a1fE", "a::f::<>"),
        ("_RINvC1a1fTlEE", "a::f::<(i32,)>"),
        ("_RINvC1a1fTlmEE", "a::f::<(i32, u32)>"),
        ("_RINvC1a1fRShE", "a::f::<&[u8]>"),
        ("_RINvC1a1fQAhj4_E", "a::f::<&mut [u8; 4]>"),
        ("_RINvC1a1fPhOlE", "a::f::<*const u8, *mut i32>"),
        ("_RINvC1a1fFUKCmEzE", 'a::f::<unsafe extern "C" fn(u32) -> !>'),
        ("_RINvC1a1fFK6systemEuE", 'a::f::<extern "system" fn()>'),
        ("_RINvC1a1fDNtC1a1TNtC1a1UEL_E", "a::f::<dyn a::T + a::U>"),
        ("_RINvC1a1fKRe616263_E", 'a::f::<"abc">'),
        ("_RINvC1a1fKe616263_E", 'a::f::<{*"abc"}>'),
        ("_RINvC1a1fKAj1_j2_EE", "a::f::<{[1, 2]}>"),
        ("_RINvC1a1fKTj1_EE", "a::f::<(1,)>"),
        ("_RINvC1a1fKRj1_E", "a::f::<{&1}>"),
        ("_RINvC1a1fKVNtC1a1STj1_b1_EE", "a::f::<{a::S(1, true)}>"),
        ("_RINvC1a1fKVNtC1a1SS1xj1_1yb0_EE", "a::f::<{a::S { x: 1, y: false }}>"),
        ("_RINvC1a1fKVNtC1a1SUE", "a::f::<{a::S}>"),
        ("_RINvC1a1fKo1234567890abcdef0_E", "a::f::<0x1234567890abcdef0>"),
        ("_RNvC7mycrate3foo.llvm.A5310EB9", "mycrate::foo"),
        ("_RNvC7mycrate3foo.cold", "mycrate::foo.cold"),
    ],
)
def test_v0(name: str, expected: str | None) -> None:
    result = demangle_v0(name.encode())
    assert (result and result.decode()) == expected


@pytest.mark.parametrize(
    "name",
    [
        "_R",
        "_RNvC7mycrate",
        "_RNvC7mycrate3fooX",
        "_RN1C1a1b",
        "_RC0001a",
        "_RC9a",
        "_RB_",
        "_RNvB5_3foo",
        "_RINvC1a1fL9_E",
        "_RINvC1a1fKb2_E",
        "_RINvC1a1fKcd800_E",
        "_RINvC1a1fKReff_E",
        "_RINvC1a1fKjg_E",
        "_RINvC1a1fFGzzzz_EuE",
        "_RINvC1a1fDNtC1a1TEE",
        "_RNvC1au9zzzzzzzzz",
        "_RNvC1a1\u00e9",
    ],
)
def test_v0_malformed(name: str) -> None:
    assert demangle_v0(name.encode()) is None


@pytest.mark.parametrize(
    "name",
    [
        b"_RIC0" + b"R" * 100_000 + b"hE",
        b"_R" + b"Nv" * 100_000 + b"C1a",
        # Every reference prints all before it once more: doubling output.
        b"_RINvC1a1f" + b"".join(b"TB%s_B%s_E" % (p, p) for p in [b"9"] * 200) + b"E",
        b"_RINvC1a1fKj" + b"0" * 100_000 + b"_E",
        b"_RNvC1au99999_" + b"a" * 99_999,
        b"_RINvC1a1fFGZZZZZZ_EuE",
    ],
)
def test_v0_hostile(name: bytes) -> None:
    before = time.process_time()
    assert demangle_v0(name) is None
    assert time.process_time() - before < 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", "core::fmt::Formatter::write_str"),
        (
            "_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h05af221e174051e9E",
            "<Test + 'static as foo::Bar<Test>>::bar",
        ),
        ("_ZN35Bar$LT$$u5b$u32$u3b$$u20$4$u5d$$GT$1a17h05af221e174051e9E", "Bar<[u32; 4]>::a"),
        ("_ZN12test$RF$test1a17h05af221e174051e9E", "test&test::a"),
        ("_ZN9backtrace3foo17hbb467fcdaea5d79bE.llvm.A5310EB9", "backtrace::foo"),
        ("_ZN8$BP$test1a17h05af221e174051e9E", "*test::a"),
        ("_ZN8te$XX$st1a17h05af221e174051e9E", "te$XX$st::a"),
        ("_ZN12te$u110000$s1a17h05af221e174051e9E", "te$u110000$s::a"),
        ("_ZN7te$u7$s1a17h05af221e174051e9E", "te$u7$s::a"),
    ],
)
def test_legacy(name: str, expected: str) -> None:
    assert is_legacy(name.encode())
    assert demangle_legacy(name.encode()) == expected.encode()


@pytest.mark.parametrize(
    "name",
    [b"_ZN3fooE", b"_Z3fooi", b"_ZN3foo17h05af221e174051eE", b"_ZN3foo17h05af221e174051e9", b"17h05af221e174051e9E"],
)
def test_other_names_are_not_legacy(name: bytes) -> None:
    assert not is_legacy(name)


@pytest.mark.parametrize(
    "name",
    [
        b"_ZN9foo17h05af221e174051e9E",
        b"_ZN99999999foo17h05af221e174051e9E",
        b"_ZN3foo17hX5af221e174051e9E",
        b"_ZN17h05af221e174051e9E",
        b"_ZN3f\xffo17h05af221e174051e9E",
    ],
)
def test_legacy_malformed(name: bytes) -> None:
    assert demangle_legacy(name) is None


@given(st.text("RCNvtMXYIBsu_LKEGTSAFDPQOp0123456789abcdehijx.", max_size=80))
def test_any_v0_name_ends_with_valid_text(tail: str) -> None:
    result = demangle_v0(b"_R" + tail.encode())
    assert result is None or len(result.decode()) < 20_000


@given(st.binary(max_size=80))
def test_any_legacy_name_ends_with_valid_text(middle: bytes) -> None:
    result = demangle_legacy(b"_ZN" + middle + b"17h05af221e174051e9E")
    assert result is None or result.decode()
