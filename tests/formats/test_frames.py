import pytest

from otelprof.formats.frames import FrameCategory, frame_category, frame_label, frame_labels
from otelprof.model.stack import Frame, Function, Line, Mapping

LIBC = Mapping("/usr/lib/libc.so.6")
WORK = Line(Function("work"), 3)
OUTER = Line(Function("outer"), 9)


@pytest.mark.parametrize(
    ("frame", "label"),
    [
        (Frame("native", 0x10, LIBC, (WORK, OUTER)), "work"),
        (Frame("native", 0x10, LIBC), "libc.so.6+0x10"),
        (Frame("native", 0x10, Mapping("[vdso]")), "[vdso]+0x10"),
        (Frame("native", 0x10, Mapping("/")), "/+0x10"),
        (Frame("native", 0x10, Mapping("")), "[unknown]"),
        (Frame("native", 0x10), "[unknown]"),
        (Frame("", 0x10), "[unknown]"),
        (Frame("abort-marker"), "[unknown]"),
        (Frame("kernel", 0xFFFFFFFF81000000), "[kernel]"),
        (Frame("kernel", 0x10, Mapping("nf_tables")), "nf_tables+0x10"),
        (Frame("cpython"), "[cpython]"),
        (Frame("native", 1, LIBC, (Line(Function("", "_Z4workv")),)), "_Z4workv"),
        (Frame("cpython", 0, None, (Line(Function("", "", "/srv/a.py")),)), "a.py"),
        (Frame("native", 0x10, None, (Line(Function("", "", "/srv/lib.so")),)), "lib.so+0x10"),
        (Frame("cpython", 0, None, (Line(Function("")),)), "[unknown]"),
    ],
)
def test_label_is_the_best_name_there_is(frame: Frame, label: str) -> None:
    assert frame_label(frame) == label
    assert frame_labels(frame)[0] == label


def test_inlined_functions_are_named_innermost_first() -> None:
    assert frame_labels(Frame("native", 1, LIBC, (WORK, OUTER))) == ("work", "outer")


@pytest.mark.parametrize(
    ("frame", "category"),
    [
        (Frame("kernel"), "kernel"),
        (Frame("native"), "native"),
        (Frame("go"), "native"),
        (Frame("rust"), "native"),
        (Frame("cpython"), "runtime"),
        (Frame("wasm"), "runtime"),
        (Frame(""), "unknown"),
        (Frame("", 1, LIBC), "native"),
        (Frame("abort-marker"), "unknown"),
    ],
)
def test_category_tells_whose_code_it_is(frame: Frame, category: FrameCategory) -> None:
    assert frame_category(frame) == category
