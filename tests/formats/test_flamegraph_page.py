import base64
import hashlib
import html
import re
from collections.abc import Iterator
from importlib import resources
from io import BytesIO

import pytest

from otelprof.formats.flamegraph import write_page
from otelprof.formats.flamegraph.page import render_page
from otelprof.formats.flamegraph.payload import make_payload
from otelprof.formats.registry import format_for
from tests.formats.flamegraph_recording import (
    FlameGraph,
    frame,
    many_stacks,
    open_flame_graph,
    page_of,
    recording,
    resource,
    shop,
)
from tests.gates import require_chromium

HANDLE = "shop::handle(Request const&)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlameGraph]:
    with open_flame_graph(require_chromium(), tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def graph(browser: FlameGraph) -> Iterator[FlameGraph]:
    """The page of the recording ``shop`` on a desktop with light colours; problems fail the test."""
    browser.page.resize(1280, 800)
    browser.page.prefer(prefers_color_scheme="light", prefers_reduced_motion="reduce")
    browser.show(shop())
    yield browser
    assert browser.page.problems == []


# ---- The file ----


def test_format_is_registered() -> None:
    stream = BytesIO()
    format_for("x.html").write(stream, [shop()])

    assert stream.getvalue() == page_of(shop())


def test_page_allows_its_own_script_and_style_alone() -> None:
    text = page_of(shop()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()

        assert f"{tag}-src 'sha256-{digest}'" in policy[1]

    assert policy[1].startswith("default-src 'none';")
    assert "unsafe" not in policy[1]


def test_page_names_nothing_outside_of_it() -> None:
    text = page_of(shop()).decode()
    references = re.findall(r"""(?:src|href|action)\s*=\s*["']([^"']{5})|url\(|@import|\bfetch\(""", text)

    assert references == ["data:"]


@pytest.mark.parametrize("script", ["tree.js", "canvas.js", "page.js"])
def test_scripts_never_parse_text_as_markup_or_code(script: str) -> None:
    text = (resources.files("otelprof.formats.flamegraph") / script).read_text()

    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert "</script" not in text


def test_title_is_escaped() -> None:
    page = page_of(shop(), title="</title><script>").decode()

    assert f"<title>{html.escape('</title><script>')}</title>" in page
    assert page.count("<script") == 2


def test_writing_twice_gives_the_same_bytes() -> None:
    message = shop()
    first, second = BytesIO(), BytesIO()
    write_page(first, [message])
    write_page(second, [message])

    assert first.getvalue() == second.getvalue()


# ---- Opening it ----


@pytest.mark.chromium
def test_page_opens_from_a_file_and_asks_for_nothing(graph: FlameGraph) -> None:
    assert graph.page.problems == []
    assert [url.partition(":")[0] for url in graph.page.requests if not url.startswith("data:")] == ["file"]
    assert graph.rows()[:2] == [["all"], ["shop", "nginx"]]


@pytest.mark.chromium
def test_header_tells_what_was_recorded(graph: FlameGraph) -> None:
    graph.show(shop(), title="make test", lost=25)

    assert graph.text("title") == "make test"
    assert graph.text("facts") == (
        "web-7 2023-11-14 22:13:20 \u2013 22:13:30 UTC (10 s) 100 samples ≈ 1 s 100 Hz "
        "20.0 % lost 1.0 % incomplete stacks"
    )


@pytest.mark.chromium
def test_page_without_samples_says_so(graph: FlameGraph) -> None:
    graph.show()

    assert "No samples" in graph.text("notice")
    assert graph.text("title") == "Flame graph"


@pytest.mark.chromium
def test_page_with_damaged_data_says_so(graph: FlameGraph) -> None:
    page = page_of(shop())
    start = page.index(b'id="payload">') + 60
    graph.open(page[:start] + b"AAAA" + page[start + 4 :])

    assert graph.text("notice") == "The data of this page is damaged."
    graph.page.problems.clear()


@pytest.mark.chromium
def test_frames_are_drawn_in_the_colours_of_the_palette(graph: FlameGraph) -> None:
    x, y = graph.place("sys_read")
    drawn, expected = graph.page.evaluate(f"""(() => {{
      const outside = elements.graph.getBoundingClientRect();
      const ratio = devicePixelRatio;
      const pixel = graph.context.getImageData(({x} - outside.x) * ratio + 40, ({y} - outside.y) * ratio - 6, 1, 1);
      const node = graph.layout.node.find((node) => frameName(state.view, state.view.frame[node]) === "sys_read");
      const other = new OffscreenCanvas(1, 1).getContext("2d");
      other.fillStyle = graph.colour(state.view.frame[node]);
      other.fillRect(0, 0, 1, 1);
      return [pixel, other.getImageData(0, 0, 1, 1)].map((image) => [...image.data]);
    }})()""")

    assert drawn == expected
    assert drawn[2] > drawn[0] > drawn[1]  # kernel is violet


# ---- Zoom and keys ----


@pytest.mark.chromium
def test_click_zooms_and_escape_goes_back(graph: FlameGraph) -> None:
    graph.zoom("main")
    assert graph.crumbs() == ["all", "shop", "main"]
    assert graph.rows()[:4] == [["all"], ["shop"], ["main"], [HANDLE]]

    graph.zoom("query")
    assert graph.crumbs() == ["all", "shop", "main", "handle", "query"]
    assert graph.text("details") == "query /usr/lib/libpq.so.5 50 samples 50.0 % of all 66.7 % of caller"

    graph.press("Escape")
    assert graph.crumbs()[-1] == "main"
    graph.press("Backspace")
    assert graph.crumbs() == ["all"]


@pytest.mark.chromium
def test_zoomed_frame_is_as_wide_as_the_graph(graph: FlameGraph) -> None:
    graph.zoom("query")
    left, width, whole = graph.page.evaluate("""(() => {
      const box = graph.boxOf(state.zoomed);
      return [graph.layout.left[box], graph.layout.width[box], graph.width];
    })()""")

    assert (left, width) == (0, pytest.approx(whole))


@pytest.mark.chromium
def test_zoom_moves_where_motion_is_wanted(graph: FlameGraph) -> None:
    graph.page.prefer(prefers_reduced_motion="no-preference")
    graph.page.evaluate("graph.lastPaintMilliseconds = 0")
    graph.page.click(*graph.place("query"))
    graph.settle()

    assert graph.crumbs()[-1] == "query"


@pytest.mark.chromium
def test_crumbs_zoom_out(graph: FlameGraph) -> None:
    graph.zoom("query")
    graph.click("#crumbs button:nth-of-type(2)")

    assert graph.crumbs() == ["all", "shop"]


@pytest.mark.chromium
def test_arrows_move_between_frames_and_enter_zooms(graph: FlameGraph) -> None:
    graph.press("ArrowDown", "ArrowDown")
    assert graph.text("details").startswith("shop 75 samples 75.0 % of all")
    graph.press("ArrowRight")
    assert graph.text("details").startswith("nginx 25 samples")
    graph.press("ArrowRight", "ArrowDown")
    assert graph.text("details").startswith("serve /usr/sbin/nginx 25 samples 25.0 % of all 100 % of group 1.0 % self")
    graph.press("Enter")
    assert graph.crumbs() == ["all", "nginx", "serve"]
    graph.press("ArrowUp", "ArrowUp", "ArrowLeft")
    assert graph.text("details").startswith("nginx 25 samples")
    graph.press("Home")
    assert graph.text("details") == "all 100 samples"


@pytest.mark.chromium
def test_keys_are_left_to_text_that_is_typed(graph: FlameGraph) -> None:
    assert graph.search("girf") == "no match"
    assert graph.page.evaluate("elements.search.value") == "girf"
    assert graph.crumbs() == ["all"]


@pytest.mark.chromium
def test_root_goes_to_the_bottom(graph: FlameGraph) -> None:
    _, above = graph.place("main")
    graph.press("r")
    _, below = graph.place("main")
    (_, root), (_, leaf) = graph.place("all"), graph.place("sys_read")

    assert above < below < root
    assert leaf < below
    graph.press("ArrowUp", "ArrowUp")
    assert graph.text("details").startswith("shop ")


@pytest.mark.chromium
def test_deep_stacks_scroll(graph: FlameGraph) -> None:
    stack = tuple(frame(f"level {level}") for level in reversed(range(1024)))
    graph.show(recording((resource(1, "deep"), stack, (), 1)))

    assert len(graph.rows()) == 1026
    graph.press(*["ArrowDown"] * 100)
    assert graph.text("details").startswith("level 97 ")
    _, y = graph.place("level 97")
    assert 0 < y < 800
    assert graph.page.evaluate("elements.canvas.height") < 1000


@pytest.mark.chromium
def test_narrow_frames_are_drawn_as_one(graph: FlameGraph) -> None:
    process = resource(1, "many")
    narrow = [(process, (frame(f"narrow {index}"),), (), 1) for index in range(5000)]
    graph.show(recording((process, (frame("wide"),), (), 5000), *narrow))

    assert graph.rows()[2] == ["wide", "…"]
    x, y = graph.place("many")
    graph.page.hover(x + 300, y + 20)
    assert graph.text("tooltip") == "5,000 frames too narrow to draw 5,000 samples, 50.0 % of all"


@pytest.mark.chromium
def test_tooltip_tells_file_line_and_shares(graph: FlameGraph) -> None:
    graph.zoom("main")
    graph.page.hover(*graph.place(HANDLE))

    assert graph.text("tooltip") == (
        f"{HANDLE} native · /usr/bin/shop handle.cc:12 all 75.0 % 75 samples ≈ 750 ms zoom 100 % caller 100 % self 0 %"
    )


@pytest.mark.chromium
def test_name_is_copied(graph: FlameGraph) -> None:
    graph.page.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    graph.zoom(HANDLE)
    graph.click("#copy")

    assert graph.text("copy") == "Copied"
    assert graph.page.evaluate("navigator.clipboard.readText()") == HANDLE


# ---- Search ----


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("text", "matched"),
    [
        ("query", "55.0 %"),
        ("QUERY", "55.0 %"),
        ("sys_", "74.0 %"),
        ("handle", "75.0 %"),
        ("libpq", "55.0 %"),
        ('"sys_read"', "50.0 %"),
        ('"sys_"', "no match"),
        ("sys_.*", "no match"),
        ("nginx", "25.0 %"),
        ("(", "75.0 %"),
    ],
)
def test_search_tells_the_share_of_all_samples(graph: FlameGraph, text: str, matched: str) -> None:
    assert graph.search(text) == matched


@pytest.mark.chromium
def test_search_takes_regular_expressions(graph: FlameGraph) -> None:
    graph.click("#pattern")

    assert graph.search("^sys_(read|open)$") == "50.0 %"
    graph.press("Escape")
    assert graph.search("(") == "not a regular expression"


@pytest.mark.chromium
def test_search_tells_the_share_of_the_zoomed_frame_too(graph: FlameGraph) -> None:
    graph.zoom("main")

    assert graph.search("query") == "55.0 %, 73.3 % of zoom"


@pytest.mark.chromium
def test_matches_are_visited_heaviest_first(graph: FlameGraph) -> None:
    graph.search("sys_")
    graph.press("Enter")
    assert graph.text("details").startswith("sys_read")
    graph.press("Enter")
    assert graph.text("details").startswith("sys_write")
    graph.press("Enter", shift=True)
    assert graph.text("details").startswith("sys_read")
    graph.press("Escape")
    assert graph.text("matched") == ""


# ---- Ways of looking ----


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("grouping", "rows"),
    [
        ("program", [{"shop": 75, "nginx": 25}, {"main": 75, "serve": 25}]),
        ("process", [{"shop (10)": 65, "nginx (20)": 25, "shop (11)": 10}]),
        ("thread", [{"shop (10)": 65, "nginx (20)": 25, "shop (11)": 10}, {"loop (10)": 40, "worker (12)": 25}]),
        ("none", [{"main": 75, "serve": 25}, {HANDLE: 75, "sys_write": 24}]),
    ],
)
def test_samples_are_grouped(graph: FlameGraph, grouping: str, rows: list[dict[str, int]]) -> None:
    graph.page.evaluate(f"""(() => {{
      elements.grouping.value = {grouping!r};
      elements.grouping.dispatchEvent(new Event("change"));
    }})()""")
    graph.settle()

    for depth, expected in enumerate(rows, start=1):
        assert expected.items() <= graph.totals(depth).items()
        assert sum(graph.totals(depth).values()) in {99, 100}


@pytest.mark.chromium
def test_key_goes_through_the_groupings(graph: FlameGraph) -> None:
    graph.press("g")
    assert graph.rows()[1] == ["shop (10)", "nginx (20)", "shop (11)"]
    graph.press("g", "g", "g")
    assert graph.rows()[1] == ["shop", "nginx"]


@pytest.mark.chromium
def test_bottom_up_starts_at_the_functions_that_ran(graph: FlameGraph) -> None:
    graph.page.evaluate('setGrouping("none")')
    graph.press("i")

    assert graph.totals(1) == {"sys_read": 50, "sys_write": 24, "render": 20, "query": 5, "serve": 1}
    graph.zoom("sys_read")
    assert graph.rows()[2:] == [["query"], [HANDLE], ["main"]]
    assert ["66.7 %", "73.3 %", HANDLE, "shop"] not in graph.functions()
    assert ["100 %", "100 %", "sys_read", "[kernel]"] in graph.functions()


@pytest.mark.chromium
def test_hidden_frames_count_for_their_callers(graph: FlameGraph) -> None:
    assert graph.text("legend") == "native 6.0 % kernel 74.0 % runtime 20.0 %"
    graph.click("#legend button:nth-of-type(2)")

    assert "sys_read" not in graph.names()
    assert ["55.0 %", "55.0 %", "query", "libpq.so.5"] in graph.functions()
    graph.click("#legend button:nth-of-type(2)")
    assert "sys_read" in graph.names()


# ---- Table of functions ----


@pytest.mark.chromium
def test_table_lists_functions_by_self_then_total(graph: FlameGraph) -> None:
    assert graph.functions() == [
        ["50.0 %", "50.0 %", "sys_read", "[kernel]"],
        ["24.0 %", "24.0 %", "sys_write", "[kernel]"],
        ["20.0 %", "20.0 %", "render", ""],
        ["5.0 %", "55.0 %", "query", "libpq.so.5"],
        ["1.0 %", "25.0 %", "serve", "nginx"],
        ["0 %", "75.0 %", "main", "shop"],
        ["0 %", "75.0 %", HANDLE, "shop"],
    ]
    graph.click("#sort-total")
    assert [row[1] for row in graph.functions()][:3] == ["75.0 %", "75.0 %", "55.0 %"]


@pytest.mark.chromium
def test_table_follows_the_zoom_and_the_search(graph: FlameGraph) -> None:
    graph.zoom("serve")
    assert graph.functions() == [["96.0 %", "96.0 %", "sys_write", "[kernel]"], ["4.0 %", "100 %", "serve", "nginx"]]
    graph.press("Home")
    graph.search("sys_")
    assert [row[2] for row in graph.functions()] == ["sys_read", "sys_write"]


@pytest.mark.chromium
def test_click_in_the_table_marks_one_function(graph: FlameGraph) -> None:
    graph.click("#rows tr:nth-child(4)")
    assert graph.page.evaluate("elements.search.value") == '"query"'
    assert graph.text("matched") == "55.0 %"
    assert len(graph.functions()) == 7
    graph.click("#rows tr[aria-selected=true]")
    assert graph.page.evaluate("elements.search.value") == ""


# ---- Themes and phones ----


BRIGHTNESS = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
  canvas.fillRect(0, 0, 1, 1);
  return canvas.getImageData(0, 0, 1, 1).data[0];
})()"""


@pytest.mark.chromium
def test_theme_follows_the_system_until_it_is_chosen(graph: FlameGraph) -> None:
    assert graph.page.evaluate(BRIGHTNESS) > 200
    graph.page.prefer(prefers_color_scheme="dark")
    assert graph.page.evaluate(BRIGHTNESS) < 60
    graph.click("#theme")
    assert graph.page.evaluate(BRIGHTNESS) > 200
    graph.click("#theme")
    assert graph.page.evaluate(BRIGHTNESS) < 60


@pytest.mark.chromium
def test_text_on_frames_has_contrast(graph: FlameGraph) -> None:
    """Contrast as WCAG 2 defines it, at least 4.5 for small text."""
    contrasts = graph.page.evaluate("""[false, true].flatMap((isDark) => {
      const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
      const luminance = (colour) => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [red, green, blue] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) => {
          const part = value / 255;
          return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      const contrast = (one, other) => {
        const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
      };
      const palette = makePalette(isDark);
      return [
        ...palette.shades.flat().map((shade) => contrast(shade, palette.text)),
        ...palette.strong.map((shade) => contrast(shade, palette.strongText)),
      ];
    })""")

    assert len(contrasts) > 100
    assert min(contrasts) >= 4.5


@pytest.mark.chromium
def test_page_fits_a_phone(graph: FlameGraph) -> None:
    graph.page.resize(390, 844, scale=3, phone=True)
    graph.show(shop(), title="a rather long title of a recording that has no room")

    assert graph.page.evaluate("document.documentElement.scrollWidth") == 390
    assert graph.page.evaluate("""[...document.querySelectorAll("body *")]
      .filter((element) => element.checkVisibility() && !element.closest("#crumbs"))
      .map((element) => element.getBoundingClientRect().right)
      .every((right) => right <= 390)""")
    sizes = graph.page.evaluate("""[...document.querySelectorAll("header *, #toolbar *, footer *")]
      .filter((element) => element.checkVisibility() && element.textContent.trim())
      .map((element) => Number.parseFloat(getComputedStyle(element).fontSize))""")
    assert min(sizes) >= 12
    assert graph.page.evaluate("graph.rowHeight") >= 24
    graph.page.tap(*graph.place("main"))
    graph.settle()
    assert graph.crumbs() == ["all", "shop", "main"]
    assert "75 samples" in graph.text("details")


@pytest.mark.chromium
def test_table_takes_the_place_of_the_graph_on_a_phone(graph: FlameGraph) -> None:
    graph.page.resize(390, 844, scale=3, phone=True)
    graph.show(shop())
    graph.click("#functions-toggle")

    assert len(graph.functions()) == 7
    assert not graph.page.evaluate("elements.graph.checkVisibility()")
    graph.click("#functions-toggle")
    assert graph.page.evaluate("elements.graph.checkVisibility()")


# ---- Hostile and changing data ----


HOSTILE = [
    "</script><script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "${document.title = 'owned'}",
    "\u202egnp.exe",
    "line\nfeed\tand\0nul",
    "x" * 100_000,
    "__proto__",
    "constructor",
    "'\"`\\",
]


@pytest.mark.chromium
def test_hostile_names_are_inert(graph: FlameGraph) -> None:
    samples = [
        (resource(pid, name), (frame(name, name, source=name),), (("thread.name", name),), 1)
        for pid, name in enumerate(HOSTILE, start=1)
    ]
    graph.show(recording(*samples), title=HOSTILE[0])

    assert graph.text("title") == HOSTILE[0]
    for grouping in ("process", "thread", "none", "program"):
        graph.page.evaluate(f"setGrouping({grouping!r})")
        graph.settle()
    assert len(graph.rows()[1]) == len(HOSTILE)
    assert "\\u{202e}gnp.exe" in graph.rows()[1]
    assert len(graph.functions()) == len(HOSTILE)
    for name in graph.rows()[1]:
        graph.page.hover(*graph.place(name))
        assert graph.text("tooltip").startswith(" ".join(name.split())[:100])
        graph.zoom(name)
        graph.search(f'"{name}"')
        assert graph.text("matched") == "11.1 %, 100 % of zoom"
        graph.press("Escape")
        graph.press("Escape")
        graph.press("Home")
    assert graph.page.evaluate("document.title") == HOSTILE[0]
    assert graph.page.evaluate("document.querySelectorAll('img, script').length") == 2


@pytest.mark.chromium
def test_newer_data_keeps_zoom_and_search(graph: FlameGraph) -> None:
    graph.zoom("query")
    graph.search("sys_")
    graph.update(shop(), shop())

    assert graph.crumbs() == ["all", "shop", "main", "handle", "query"]
    assert graph.text("matched") == "74.0 %, 100 % of zoom"
    assert graph.text("details").startswith("query /usr/lib/libpq.so.5 100 samples")
    assert "200 samples" in graph.text("facts")


@pytest.mark.chromium
def test_zoom_stays_as_deep_as_newer_data_goes(graph: FlameGraph) -> None:
    graph.zoom("query")
    graph.update(recording((resource(10, "shop"), (frame("main"),), (), 3)))
    assert graph.crumbs() == ["all", "shop", "main"]
    graph.update()
    assert "No samples" in graph.text("notice")
    graph.update(shop())
    assert graph.rows()[1] == ["shop", "nginx"]


@pytest.mark.chromium
def test_fifty_thousand_stacks_open_within_a_second(graph: FlameGraph) -> None:
    page = render_page(make_payload(many_stacks(50_000, 30)))
    times = []
    for _ in range(3):
        graph.open(page)
        times.append(graph.page.evaluate("performance.getEntriesByName('first-graph')[0].startTime"))
    print(f"{len(page) / 1e6:.1f} MB, first graph after {', '.join(f'{time:.0f}' for time in times)} ms")

    assert graph.page.evaluate("state.profile.stack.length.length") == 50_000
    assert min(times) < 1000
