from otelprof.sampler import abi
from otelprof.sampler.mapping_rows import MappingRow, MappingRowTable, Region


class Clock:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def table(rows: int) -> tuple[MappingRowTable, bytearray, Clock]:
    memory, clock = bytearray(rows * abi.MAPPING_ROW.size), Clock()
    return MappingRowTable(memory, clock), memory, clock


def rows(count: int) -> list[MappingRow]:
    return [MappingRow(4096 * i, 4096 * i + 4096, 0x1000, i + 1) for i in range(count)]


def test_rows_are_stored_with_their_generation() -> None:
    mappings, memory, _ = table(8)
    mappings.put(rows(2))
    region = mappings.put([MappingRow(0x1000, 0x2000, -0x400000, 9)])

    assert region == Region(first=2, count=1, generation=2)
    stored = abi.MAPPING_ROW.unpack_from(memory, 2 * abi.MAPPING_ROW.size)
    assert stored == (0x1000, 0x2000, 2**64 - 0x400000, 9, 2)


def test_a_freed_region_rests_before_it_is_used_again() -> None:
    mappings, _, clock = table(4)
    region = mappings.put(rows(4))
    assert region is not None
    mappings.free(region)

    assert mappings.put(rows(1)) is None
    clock.now_ns = 1_000_000_000
    again = mappings.put(rows(4))
    assert again is not None
    assert again.generation != region.generation


def test_neighbouring_free_regions_become_one() -> None:
    mappings, _, clock = table(6)
    regions = [mappings.put(rows(2)) for _ in range(3)]
    for region in regions:
        assert region is not None
        mappings.free(region)
    clock.now_ns = 2_000_000_000

    assert mappings.put(rows(6)) is not None


def test_a_process_with_too_many_mappings_keeps_the_first() -> None:
    mappings, _, _ = table(abi.MAX_MAPPING_ROWS)

    region = mappings.put(rows(abi.MAX_PROCESS_MAPPINGS + 5))

    assert region is not None
    assert region.count == abi.MAX_PROCESS_MAPPINGS


def test_a_process_without_mappings_still_has_a_region() -> None:
    mappings, _, _ = table(1)

    assert mappings.put([]) == Region(0, 0, 1)
    assert mappings.put([]) is None
