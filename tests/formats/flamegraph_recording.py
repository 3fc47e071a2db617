"""Recordings that the tests of the flame graph page show, and the page's small vocabulary for tests."""

import base64
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.formats.flamegraph import write_page
from otelprof.formats.flamegraph.payload import make_payload
from otelprof.formats.selection import read_displayed
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.reader import ReadSample
from otelprof.model.stack import CPU_SAMPLES, Attributes, Frame, Function, Line, Mapping, Resource, Stack
from tests.chromium import Page, open_page

__all__ = ("FlameGraph", "frame", "many_stacks", "open_flame_graph", "page_of", "recording", "resource", "shop")

CPU = replace(CPU_SAMPLES, period=10_000_000)
START_NS = 1_700_000_000_000_000_000
END_NS = START_NS + 10_000_000_000


def frame(name: str, binary: str = "/usr/bin/shop", *, kind: str = "native", source: str = "", line: int = 0) -> Frame:
    """Make a frame with a function."""
    mapping = Mapping(binary, build_id_gnu="c0ffee") if binary else None
    return Frame(kind, 1, mapping, (Line(Function(name, filename=source), line),))


def resource(pid: int, program: str) -> Resource:
    """Make the resource of a process on the host ``web-7``."""
    return Resource((("process.pid", pid), ("process.executable.name", program), ("host.name", "web-7")))


def recording(*samples: tuple[Resource, Stack, Attributes, int]) -> ProfilesData:
    """Build a message of ten seconds at 100 Hz."""
    builder = ProfilesBuilder(start_ns=START_NS, end_ns=END_NS)
    for owner, stack, attributes, count in samples:
        builder.add(owner, CPU, stack, attributes, values=(count,))
    return builder.build()


def shop() -> ProfilesData:
    """Build 100 samples of two processes ``shop``, one of them with two threads, and of one ``nginx``."""
    main = frame("main")
    handle = frame("shop::handle(Request const&)", source="handle.cc", line=12)
    query = frame("query", "/usr/lib/libpq.so.5")
    render = frame("render", "", kind="cpython", source="page.py", line=30)
    read = frame("sys_read", "[kernel]", kind="kernel")
    serve = frame("serve", "/usr/sbin/nginx")
    write = frame("sys_write", "[kernel]", kind="kernel")
    first, second, web = resource(10, "shop"), resource(11, "shop"), resource(20, "nginx")
    incomplete = ("otelprof.stack.outcome", "read_fault")
    return recording(
        (first, (read, query, handle, main), (("thread.id", 10), ("thread.name", "loop")), 40),
        (second, (read, query, handle, main), (("thread.id", 11), ("thread.name", "loop")), 10),
        (first, (render, handle, main), (("thread.id", 12), ("thread.name", "worker")), 20),
        (first, (query, handle, handle, main), (("thread.id", 12), ("thread.name", "worker")), 5),
        (web, (write, serve), (("thread.id", 20), ("thread.name", "nginx")), 24),
        (web, (serve,), (("thread.id", 20), ("thread.name", "nginx"), incomplete), 1),
    )


def many_stacks(count: int, depth: int) -> Iterator[tuple[ReadSample, int]]:
    """Yield a recording of ``count`` distinct stacks of ``depth`` frames in 40 processes, the same every time."""
    chance = random.Random(7)
    kinds = ("native", "native", "kernel", "cpython")
    frames = [
        frame(f"module_{index % 97}::function_{index}(int)", f"/usr/lib/lib{index % 50}.so", kind=kinds[index % 4])
        for index in range(20_000)
    ]
    processes = [resource(100 + index, f"service-{index % 12}") for index in range(40)]
    for number in range(count):
        # Digits of the number choose the way at every third level: stacks begin alike, and no two are the same.
        place, rest = number % 40, number // 40
        walk = [place]
        for level in range(1, depth):
            rest, turn = divmod(rest, 4) if level % 3 == 0 else (rest, 0)
            place = (place * 7919 + turn + level) % len(frames)
            walk.append(place)
        stack = tuple(frames[place] for place in reversed(walk))
        sample_count = chance.randrange(1, 20)
        process = processes[number % len(processes)]
        yield ReadSample(process, "", "", CPU, stack, (), (sample_count,), (), None, START_NS, 10**10), sample_count


def page_of(*messages: ProfilesData, title: str = "", lost: int | None = None) -> bytes:
    """Write the page of messages."""
    stream = BytesIO()
    write_page(stream, messages, title=title, lost=lost)
    return stream.getvalue()


class FlameGraph:
    """An open flame graph page."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self._folder = folder

    def show(self, *messages: ProfilesData, **options: Any) -> None:
        """Open the page of messages in a file of its own, and wait for the first drawn graph."""
        self.open(page_of(*messages, **options))
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    def open(self, html: bytes) -> None:
        """Open a page, and wait until it shows a graph or why there is none."""
        file = self._folder / "page.html"
        file.write_bytes(html)
        self.page.open(file.as_uri())
        self.page.evaluate("""new Promise((done) => {
          const wait = () => {
            const isDrawn = performance.getEntriesByName("first-graph").length > 0;
            if (isDrawn || !document.getElementById("notice").hidden) done();
            else requestAnimationFrame(wait);
          };
          wait();
        })""")

    def update(self, *messages: ProfilesData) -> None:
        """Hand newer data to the open page."""
        data = base64.b64encode(make_payload(read_displayed(messages)).encode()).decode()
        self.page.evaluate(f"render(Uint8Array.from(atob({data!r}), (byte) => byte.charCodeAt(0)).buffer)")
        self.settle()

    def settle(self) -> None:
        """Wait until the zoom has ended and the table of functions follows."""
        self.page.evaluate("""new Promise((done) => {
          const wait = () => {
            const { left, right } = sectionOf(state.view, state.zoomed);
            if (elements.graph.hidden || (graph.section.left === left && graph.section.right === right)) {
              requestAnimationFrame(() => setTimeout(() => setTimeout(done)));
            } else requestAnimationFrame(wait);
          };
          wait();
        })""")

    def text(self, id_: str) -> str:
        """Give the visible text of an element."""
        text: str = self.page.evaluate(f"document.getElementById({id_!r}).innerText")
        return " ".join(text.split())

    def rows(self) -> list[list[str]]:
        """Give the names of the drawn frames, row by row from the root."""
        names: list[list[str]] = self.page.evaluate("""
          Array.from({ length: graph.rows }, (_, row) =>
            graph.layout.node.slice(graph.layout.rowStart[row], graph.layout.rowStart[row + 1])
              .map((node) => node < 0 ? "…" : frameName(state.view, state.view.frame[node])))""")
        return names

    def names(self) -> set[str]:
        """Give the names of all drawn frames."""
        return {name for row in self.rows() for name in row}

    def crumbs(self) -> list[str]:
        """Give the path of the zoom as the page shows it."""
        names: list[str] = self.page.evaluate(
            "[...document.querySelectorAll('#crumbs button')].map((crumb) => crumb.textContent)"
        )
        return names

    def totals(self, depth: int) -> dict[str, int]:
        """Give the samples of the drawn frames of one row."""
        totals: dict[str, int] = self.page.evaluate(f"""Object.fromEntries(
          graph.layout.node.filter((node) => node >= 0 && state.view.depth[node] === {depth})
            .map((node) => [frameName(state.view, state.view.frame[node]), state.view.total[node]]))""")
        return totals

    def place(self, name: str) -> tuple[float, float]:
        """Give the middle of the first drawn frame with a name."""
        x, y = self.page.evaluate(f"""(() => {{
          const isNamed = (node) => node >= 0 && frameName(state.view, state.view.frame[node]) === {name!r};
          const frame = graph.rectangleOf(graph.layout.node.find(isNamed));
          const outside = elements.graph.getBoundingClientRect();
          const top = outside.y + frame.top - elements.graph.scrollTop;
          return [outside.x + frame.left + frame.width / 2, top + frame.height / 2];
        }})()""")
        return x, y

    def zoom(self, name: str) -> None:
        """Click on a frame."""
        self.page.click(*self.place(name))
        self.settle()

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys, and wait for what they do."""
        self.page.press(*keys, shift=shift)
        self.settle()

    def search(self, text: str) -> str:
        """Search for a text; give what the page says of the matches."""
        self.page.press("/")
        self.page.type(text)
        self.settle()
        return self.text("matched")

    def click(self, selector: str) -> None:
        """Click in the middle of an element."""
        x, y = self.page.evaluate(f"""(() => {{
          const box = document.querySelector({selector!r}).getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        self.page.click(x, y)
        self.settle()

    def functions(self) -> list[list[str]]:
        """Give the rows of the table of functions: self, total, name, file."""
        rows: list[list[str]] = self.page.evaluate("""[...document.querySelectorAll("#rows tr")].map((row) =>
          [...row.querySelectorAll(".share, button, small")].map((cell) => cell.textContent.trim()))""")
        return rows


@contextmanager
def open_flame_graph(chromium: Path, folder: Path) -> Iterator[FlameGraph]:
    """Start a browser that keeps its files in an empty folder."""
    with open_page(chromium, folder / "profile") as page:
        yield FlameGraph(page, folder)
