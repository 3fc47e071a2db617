"""Names for people: C++ by libstdc++, and what no demangler takes stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.symbols import demangle as module
from otelprof.symbols.demangle import demangle, demangler_available

needs_libstdcxx = pytest.mark.skipif(not demangler_available(), reason="libstdc++.so.6 is not installed")


@needs_libstdcxx
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"_Z3fooi", b"foo(int)"),
        (b"_ZN2v88internal4Heap7CollectEv", b"v8::internal::Heap::Collect()"),
        (b"_ZNKSt6vectorIiSaIiEE4sizeEv", b"std::vector<int, std::allocator<int> >::size() const"),
        (b"_Znwm", b"operator new(unsigned long)"),
        (b"_Z3fooi.cold", b"foo(int) [clone .cold]"),
    ],
)
def test_cpp(name: bytes, expected: bytes) -> None:
    assert demangle(name) == expected


@needs_libstdcxx
def test_results_longer_than_the_buffer_do_not_spoil_the_next() -> None:
    # Each parameter is a pair of the one before it, so the text doubles.
    parameters = "St4pairIiiE" + "".join(f"S_IS{digit}_S{digit}_E" for digit in "0123456789ABC")
    long = demangle(b"_Z1f" + parameters.encode())

    assert long is not None
    assert len(long) > 65536
    assert demangle(b"_Z3fooi") == b"foo(int)"


@pytest.mark.parametrize(
    "name", [b"main", b"", b"_Z", b"_R", b"_Zzz", b"_RX", b"_ZN", b"Z3foo", b"\xff\xfe", b"_Z\xff"]
)
def test_other_names_are_none(name: bytes) -> None:
    assert demangle(name) is None


def test_without_libstdcxx_cpp_names_stay_mangled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cpp", None)
    assert not demangler_available()
    assert demangle(b"_Z3fooi") is None
    assert demangle(b"_RNvC7mycrate3run") == b"mycrate::run"


@given(st.text("_ZNRCSIEKB0123456789fooPT$.h", max_size=60).map(str.encode))
def test_any_name_ends(tail: bytes) -> None:
    for prefix in (b"_Z", b"_R", b"_ZN"):
        result = demangle(prefix + tail)
        assert result is None or isinstance(result, bytes)
