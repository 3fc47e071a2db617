"""Symbol tables are searched in place, and nothing out of bounds passes the check."""

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.errors import BadArtifact
from otelprof.symbols.table import MAX_NAME_BYTES, Symbol, SymbolTable, check_symbols, pack_symbols

ROWS = [Symbol("first", "", 16, 32), Symbol("zwei()", "_Z4zweiv", 32, 40), Symbol("größer", "", 100, 101)]


def packed(rows: list[Symbol]) -> bytes:
    return pack_symbols(
        [row.start for row in rows],
        [row.end - row.start for row in rows],
        [row.name.encode() for row in rows],
        [row.system_name.encode() for row in rows],
    )


def table(rows: list[Symbol]) -> SymbolTable:
    data = memoryview(packed(rows))
    check_symbols(data)
    return SymbolTable(data)


@pytest.mark.parametrize(
    ("address", "expected"),
    [(15, None), (16, 0), (31, 0), (32, 1), (39, 1), (40, None), (99, None), (100, 2), (101, None), (1 << 70, None)],
)
def test_finds_the_range_that_holds_an_address(address: int, expected: int | None) -> None:
    assert table(ROWS).find(address) == (None if expected is None else ROWS[expected])


def test_an_empty_table_finds_nothing() -> None:
    assert table([]).find(0) is None
    assert len(table([])) == 0


def test_the_last_address_can_be_named() -> None:
    top = Symbol("top", "", (1 << 64) - 8, 1 << 64)
    assert table([top]).find((1 << 64) - 1) == top


ranges = st.lists(st.integers(0, 1 << 20), unique=True, max_size=40).map(sorted)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(ranges, st.data())
def test_agrees_with_a_plain_list(starts: list[int], data: st.DataObject) -> None:
    ends = [
        data.draw(st.integers(start + 1, after)) for start, after in zip(starts, [*starts[1:], 1 << 21], strict=False)
    ]
    rows = [Symbol(data.draw(texts), data.draw(texts), start, end) for start, end in zip(starts, ends, strict=True)]
    address = data.draw(st.integers(0, 1 << 21))
    index = bisect_right(starts, address) - 1
    expected = rows[index] if index >= 0 and address < rows[index].end else None

    found = table(rows).find(address)

    assert found == expected
    assert [table(rows)[at] for at in range(len(rows))] == rows


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(15),
        packed(ROWS)[:-1],
        packed(ROWS) + b"x",
        pack_symbols([2, 1], [1, 1], [b"a", b"b"], [b"", b""]),
        pack_symbols([1, 1], [0, 1], [b"a", b"b"], [b"", b""]),
        pack_symbols([1, 4], [4, 1], [b"a", b"b"], [b"", b""]),
        pack_symbols([(1 << 64) - 1], [2], [b"a"], [b""]),
        pack_symbols([1], [1], [b"x" * (MAX_NAME_BYTES + 1)], [b""]),
        pack_symbols([1], [1], [b"x"], [b"x" * (MAX_NAME_BYTES + 1)]),
    ],
)
def test_the_check_refuses(data: bytes) -> None:
    with pytest.raises(BadArtifact):
        check_symbols(memoryview(data))


@given(st.data())
def test_the_check_lets_nothing_through_that_breaks_a_lookup(data: st.DataObject) -> None:
    damaged = bytearray(packed(ROWS))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    view = memoryview(bytes(damaged))
    try:
        check_symbols(view)
    except BadArtifact:
        return
    found = SymbolTable(view)
    for index in range(len(found)):
        symbol = found[index]
        assert found.find(symbol.start) == (symbol if symbol.end > symbol.start else None)
        assert len(symbol.name) <= MAX_NAME_BYTES
