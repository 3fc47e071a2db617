/* The page: what is shown of a profile, and the controls that change it. Text from the profile gets into the document
 * as text nodes and attributes only. render(buffer) may be called again with newer data: zoom and search stay. */

const TABLE_ROWS = 300;

const elements = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));

const state = {
  profile: null,
  view: null,
  grouping: "program",
  callers: false,
  rootAtBottom: false,
  hidden: new Set(),
  zoomed: 0,
  back: [], // nodes that were zoomed on before
  selected: -1, // node that the arrow keys went to
  search: "",
  isPattern: false,
  matches: null, // of frames
  sortBy: "self",
  isDark: null, // null = as the system says
  palette: null,
};

let tableRequest = 0;

const systemDark = matchMedia("(prefers-color-scheme: dark)");

const graph = new Graph(
  {
    scroller: elements.graph,
    spacer: elements.spacer,
    canvas: elements.canvas,
    hoverRing: elements["hover-ring"],
    focusRing: elements["focus-ring"],
  },
  { hover: showTooltip, zoom: zoomTo, painted: markFirstPaint },
);

function markFirstPaint() {
  if (performance.getEntriesByName("first-graph").length === 0) performance.mark("first-graph");
}

/* ---- Numbers and small pieces ---- */

const countFormat = new Intl.NumberFormat("en");

function amount(value) {
  const { unit } = state.profile;
  if (unit === "nanoseconds") return duration(value / 1e9);
  return `${countFormat.format(value)} ${value === 1 && unit === "samples" ? "sample" : unit}`;
}

/* CPU time that samples stand for, as " ≈ 1.2 s"; "" when it is not known. */
function cpuTime(value) {
  const { unit, period_ns: period } = state.profile;
  return unit === "samples" && period ? ` ≈ ${duration((value * period) / 1e9)}` : "";
}

function duration(seconds) {
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  if (seconds >= 120) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds >= 1) return `${Number(seconds.toPrecision(3))} s`;
  return `${Number((seconds * 1000).toPrecision(3))} ms`;
}

function percent(part, whole) {
  const share = whole ? (100 * part) / whole : 0;
  if (share === 0) return "0 %";
  if (share < 0.01) return "< 0.01 %";
  return `${share === 100 ? "100" : share.toFixed(share >= 1 ? 1 : 2)} %`;
}

/* An element with properties and children; strings become text. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

function makeDot(category) {
  const dot = make("i", { className: "dot" });
  dot.style.setProperty("--dot", state.palette.strong[category]);
  return dot;
}

/* Where a frame's code is: binary, then source file and lines. */
function placeOf(frame) {
  const { profile } = state;
  if (frame >= profile.frameCount) return { binary: "", source: "", type: "" };
  const { frame: frames, strings } = profile;
  const [line, lineEnd] = [frames.line[frame], frames.line_end[frame]];
  const lines = line === 0 ? "" : line === lineEnd ? `:${line}` : `:${line}–${lineEnd}`;
  const source = strings[frames.source[frame]];
  return {
    binary: strings[frames.binary[frame]],
    source: source && source + lines,
    type: strings[frames.type[frame]] + (frames.inlined[frame] ? ", inlined" : ""),
  };
}

/* ---- Showing ---- */

function render(buffer) {
  const zoomedKeys = state.view ? pathKeys(state.view, state.zoomed) : [];
  state.profile = decodeProfile(buffer);
  rebuild(zoomedKeys);
  showHeader();
  showLegend();
}

/* Merges the profile anew, and zooms on the node that has these keys. */
function rebuild(zoomedKeys = []) {
  const { profile, grouping, callers, hidden } = state;
  state.view = makeView(profile, { grouping, callers, hidden });
  state.zoomed = findPath(state.view, zoomedKeys);
  state.back = [];
  state.selected = -1;
  updateMatches();
  refresh();
}

function updateMatches() {
  const { view, search, isPattern } = state;
  state.matches = null;
  let error = "";
  try {
    if (search) state.matches = matchFrames(view, makeMatcher(search, isPattern));
  } catch (failure) {
    if (!(failure instanceof SyntaxError)) throw failure;
    error = "not a regular expression";
  }
  elements.search.parentElement.classList.toggle("wrong", error !== "");
  elements.search.setAttribute("aria-invalid", String(error !== ""));
  elements.matched.textContent = error;
  elements.matched.title = "";
}

function refresh() {
  const { view, matches, zoomed, rootAtBottom, palette } = state;
  const isEmpty = view.total[0] === 0;
  showNotice(isEmpty ? "No samples were taken: nothing ran that was looked at." : "");
  if (!isEmpty) graph.show({ view, matches, zoomed, rootAtBottom, palette });
  showCrumbs();
  showMatched();
  showDetails();
  cancelAnimationFrame(tableRequest);
  tableRequest = requestAnimationFrame(() => setTimeout(showFunctions)); // the graph comes first
}

/* Says in the place of the graph why there is none; "" when there is one. */
function showNotice(text) {
  elements.notice.textContent = text;
  elements.notice.hidden = text === "";
  elements.graph.hidden = text !== "";
}

function showHeader() {
  const { profile } = state;
  const { total } = profile;
  elements.title.textContent = profile.title || profile.host || "Flame graph";
  const facts = [];
  if (profile.title && profile.host) facts.push(profile.host);
  if (profile.start) facts.push(timeRange(profile.start, profile.end));
  facts.push(amount(total) + cpuTime(total));
  if (profile.period_ns) facts.push(`${Number((1e9 / profile.period_ns).toPrecision(3))} Hz`);
  elements.facts.replaceChildren(...facts.map((fact) => make("li", {}, fact)));
  const warn = (text) => elements.facts.append(make("li", { className: "alarm" }, text));
  if (profile.lost) warn(`${percent(profile.lost, profile.lost + total)} lost`);
  if (profile.incomplete) {
    elements.facts.append(make("li", { title: "Stacks that could not be followed to their root" }, `${percent(profile.incomplete, total)} incomplete stacks`));
  }
}

function timeRange(start, end) {
  const [from, until] = [start, end].map((time) => new Date(time).toISOString());
  const sameDay = from.slice(0, 10) === until.slice(0, 10);
  const text = `${from.slice(0, 10)} ${from.slice(11, 19)} – ${sameDay ? "" : `${until.slice(0, 10)} `}${until.slice(11, 19)} UTC`;
  return `${text} (${duration((end - start) / 1000)})`;
}

function showLegend() {
  const { profile } = state;
  const totals = categoryTotals(profile);
  const buttons = CATEGORIES.flatMap((name, category) => {
    if (!profile.frame.category.includes(category)) return [];
    const button = make("button", { title: `Show or hide ${name} frames; what hidden ones ran counts for their callers` });
    button.append(makeDot(category), name, make("span", { className: "part" }, percent(totals[category], profile.total)));
    button.setAttribute("aria-pressed", String(!state.hidden.has(name)));
    button.addEventListener("click", () => {
      if (!state.hidden.delete(name)) state.hidden.add(name);
      button.setAttribute("aria-pressed", String(!state.hidden.has(name)));
      rebuild(pathKeys(state.view, state.zoomed));
    });
    return [button];
  });
  elements.legend.replaceChildren(...buttons);
}

function showCrumbs() {
  const { view, zoomed } = state;
  const parts = pathTo(view, zoomed).flatMap((node) => {
    const name = frameName(view, view.frame[node]);
    const crumb = make("button", { title: name }, node === 0 ? name : shortName(name));
    crumb.addEventListener("click", () => zoomTo(node));
    return node === 0 ? [crumb] : [make("i", { ariaHidden: "true" }, "›"), crumb];
  });
  if (zoomed === 0) parts.push(make("span", { className: "hint" }, "click a frame to zoom, / to search, ? for keys"));
  elements.crumbs.replaceChildren(...parts);
  elements.crumbs.scrollLeft = elements.crumbs.scrollWidth;
}

function showMatched() {
  const { view, zoomed, matches } = state;
  if (!matches) return;
  const matched = matchedTotal(view, 0, matches);
  const ofAll = percent(matched, view.total[0]);
  const ofZoomed = zoomed > 0 ? `, ${percent(matchedTotal(view, zoomed, matches), view.total[zoomed])} of zoom` : "";
  const functions = matches.reduce((sum, match) => sum + match, 0);
  elements.matched.textContent = functions === 0 ? "no match" : ofAll + ofZoomed;
  elements.matched.title = `${amount(matched)} with a match in their stack; ${countFormat.format(functions)} matching functions and groups`;
}

/* What a node is a part of, as text; "" below everything. */
function parentKind(node) {
  const { view } = state;
  const parent = view.parent[node];
  if (parent <= 0) return "";
  if (frameCategory(view, view.frame[parent]) === GROUP) return "group";
  return view.callers ? "callee" : "caller";
}

/* The frame that keys act on. */
function currentNode() {
  return state.selected >= 0 ? state.selected : state.zoomed;
}

function showDetails() {
  const { view } = state;
  const node = currentNode();
  const frame = view.frame[node];
  const name = frameName(view, frame);
  const category = frameCategory(view, frame);
  const { binary, source } = placeOf(frame);
  const share = node === 0 ? "" : `${percent(view.total[node], view.total[0])} of all`;
  const parent = parentKind(node);
  const ofParent = parent && `${percent(view.total[node], view.total[view.parent[node]])} of ${parent}`;
  const self = view.callers || view.self[node] === 0 ? "" : `${percent(view.self[node], view.total[0])} self`;
  const facts = [binary, source, amount(view.total[node]), share, ofParent, self].filter((fact) => fact !== "");
  elements.details.replaceChildren(
    make("b", { title: name }, ...(category === GROUP ? [] : [makeDot(category)]), name),
    ...facts.map((fact) => make("span", {}, fact)),
  );
}

function showTooltip(node, event) {
  const { tooltip } = elements;
  tooltip.hidden = node === null;
  if (node === null) return;
  if (node < 0) showRestTooltip(~node);
  else showFrameTooltip(node);
  const { width, height } = tooltip.getBoundingClientRect();
  const left = event.clientX + 16 + width > innerWidth ? event.clientX - width - 12 : event.clientX + 16;
  const top = event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18;
  tooltip.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
}

function showRestTooltip(parent) {
  const { view } = state;
  const drawn = new Set(graph.layout.node);
  const rest = childrenOf(view, parent).filter((child) => !drawn.has(child));
  const total = rest.reduce((sum, child) => sum + view.total[child], 0);
  elements.tooltip.replaceChildren(
    make("b", {}, `${countFormat.format(rest.length)} frames too narrow to draw`),
    make("p", {}, `${amount(total)}, ${percent(total, view.total[0])} of all`),
  );
}

function showFrameTooltip(node) {
  const { view, zoomed } = state;
  const frame = view.frame[node];
  const { binary, source, type } = placeOf(frame);
  const category = frameCategory(view, frame);
  const total = view.total[node];
  const numbers = make("dl");
  const number = (label, value, extra) => numbers.append(make("dt", {}, label), make("dd", {}, value), make("dd", {}, extra));
  number("all", percent(total, view.total[0]), amount(total) + cpuTime(total));
  if (zoomed > 0 && pathTo(view, node).includes(zoomed)) number("zoom", percent(total, view.total[zoomed]), "");
  const parent = parentKind(node);
  if (parent) number(parent, percent(total, view.total[view.parent[node]]), "");
  if (!view.callers) number("self", percent(view.self[node], view.total[0]), view.self[node] ? amount(view.self[node]) : "");
  const about = [];
  if (category !== GROUP) about.push(make("p", {}, makeDot(category), [type, binary].filter((text) => text !== "").join(" · ") || "unknown file"));
  if (source) about.push(make("p", {}, source));
  elements.tooltip.replaceChildren(make("b", {}, frameName(view, frame)), ...about, numbers);
}

/* ---- Table of functions ---- */

function showFunctions() {
  if (elements.functions.hidden) return;
  const { view, zoomed, matches, search, isPattern, sortBy } = state;
  const isExact = !isPattern && /^".+"$/u.test(search);
  const rows = functionTotals(view, zoomed)
    .filter((row) => !matches || isExact || matches[row.frame])
    .sort((one, other) => other[sortBy] - one[sortBy] || other.total - one.total || compareNames(view, one.frame, other.frame));
  const whole = view.total[zoomed];
  elements.rows.replaceChildren(...rows.slice(0, TABLE_ROWS).map((row) => makeRow(row, whole, isExact && matches?.[row.frame])));
  const rest = rows.length - TABLE_ROWS;
  elements.more.textContent = rest > 0 ? `and ${countFormat.format(rest)} more: search to narrow` : rows.length ? "" : "no function";
  for (const order of ["self", "total"]) {
    const header = elements[`sort-${order}`].parentElement;
    if (order === sortBy) header.setAttribute("aria-sort", "descending");
    else header.removeAttribute("aria-sort");
  }
}

function makeRow(row, whole, isSelected) {
  const { view, sortBy } = state;
  const name = frameName(view, row.frame);
  const { binary } = placeOf(row.frame);
  const share = (value) => make("td", { className: "share", title: amount(value) }, percent(value, whole));
  const file = binary.slice(binary.lastIndexOf("/") + 1);
  const about = make("td", { title: `${name}\n${binary}` }, make("button", {}, name), make("small", {}, file || "\u00a0"));
  const line = make("tr", {}, share(row.self), share(row.total), about);
  line.style.setProperty("--part", `${whole ? (100 * row[sortBy]) / whole : 0}%`);
  line.style.setProperty("--bar", state.palette.bars[frameCategory(view, row.frame)]);
  line.setAttribute("aria-selected", String(Boolean(isSelected)));
  line.addEventListener("click", () => setSearch(isSelected ? "" : `"${name}"`, false));
  return line;
}

/* ---- Changing what is shown ---- */

function zoomTo(node) {
  if (node !== state.zoomed) state.back.push(state.zoomed);
  state.zoomed = node;
  state.selected = -1;
  graph.setFocus(-1);
  refresh();
}

function goBack() {
  if (state.back.length > 0) {
    state.zoomed = state.back.pop();
    select(-1);
    refresh();
  } else if (state.zoomed !== 0) {
    state.zoomed = 0;
    select(-1);
    refresh();
  } else if (state.search) setSearch("", state.isPattern);
}

function select(node) {
  state.selected = node;
  graph.setFocus(node);
  showDetails();
}

function move(direction) {
  select(state.selected < 0 ? state.zoomed : graph.neighbour(state.selected, direction));
}

function setSearch(text, isPattern) {
  state.search = text;
  state.isPattern = isPattern;
  if (elements.search.value !== text) elements.search.value = text;
  elements.pattern.setAttribute("aria-pressed", String(isPattern));
  updateMatches();
  refresh();
}

/* Selects the drawn match after the selected one, heaviest first; matches inside of matches are left out. */
function selectMatch(step) {
  const { view, matches } = state;
  if (!matches) return;
  const isOutermost = (node) => matches[view.frame[node]] && !pathTo(view, node).slice(0, -1).some((above) => matches[view.frame[above]]);
  const found = graph.layout.node.filter((node) => node >= 0 && isOutermost(node)).sort((one, other) => view.total[other] - view.total[one]);
  if (found.length === 0) return;
  const at = found.indexOf(state.selected);
  select(found[at < 0 ? 0 : (at + step + found.length) % found.length]);
}

function setGrouping(grouping) {
  state.grouping = grouping;
  elements.grouping.value = grouping;
  rebuild();
}

function setCallers(callers) {
  state.callers = callers;
  elements.calls.setAttribute("aria-pressed", String(!callers));
  elements.callers.setAttribute("aria-pressed", String(callers));
  rebuild();
}

function turn() {
  state.rootAtBottom = !state.rootAtBottom;
  elements.turn.setAttribute("aria-pressed", String(state.rootAtBottom));
  refresh();
}

function toggleFunctions(isShown = elements.functions.hidden) {
  elements.functions.hidden = !isShown;
  elements["functions-toggle"].setAttribute("aria-pressed", String(isShown));
  if (state.view) showFunctions();
}

async function copyName() {
  const name = frameName(state.view, state.view.frame[currentNode()]);
  try {
    await navigator.clipboard.writeText(name);
  } catch {
    // No clipboard for pages that were not loaded safely: the old way still works there.
    const field = make("textarea", { value: name });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  elements.copy.textContent = "Copied";
  setTimeout(() => (elements.copy.textContent = "Copy name"), 1200);
}

function applyTheme() {
  const isDark = state.isDark ?? systemDark.matches;
  document.documentElement.style.colorScheme = state.isDark === null ? "" : isDark ? "dark" : "light";
  state.palette = makePalette(isDark);
  if (!state.view) return;
  showLegend();
  refresh();
}

/* ---- Controls ---- */

const KEYS = {
  "/": () => elements.search.select(),
  "?": () => elements.keys.showModal(),
  Enter: () => zoomTo(currentNode()),
  " ": () => zoomTo(currentNode()),
  Escape: goBack,
  Backspace: goBack,
  Home: () => zoomTo(0),
  ArrowLeft: () => move("left"),
  ArrowRight: () => move("right"),
  ArrowUp: () => move(state.rootAtBottom ? "callee" : "caller"),
  ArrowDown: () => move(state.rootAtBottom ? "caller" : "callee"),
  c: copyName,
  f: () => toggleFunctions(),
  g: () => {
    const groupings = [...elements.grouping.options].map((option) => option.value);
    setGrouping(groupings[(groupings.indexOf(state.grouping) + 1) % groupings.length]);
  },
  i: () => setCallers(!state.callers),
  r: turn,
};

const CONTROL_KEYS = new Set(["Enter", " ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home"]);

function handleKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || elements.keys.open || !state.view) return;
  if (event.target === elements.search) {
    if (event.key === "Enter") selectMatch(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      if (state.search) setSearch("", state.isPattern);
      else elements.graph.focus();
    } else return;
    event.preventDefault();
    return;
  }
  if (event.target === elements.grouping) return;
  if (CONTROL_KEYS.has(event.key) && event.target.closest?.("button, #functions")) return; // the control's own keys
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function listen() {
  document.addEventListener("keydown", handleKey);
  elements.search.addEventListener("input", () => setSearch(elements.search.value, state.isPattern));
  elements.pattern.addEventListener("click", () => setSearch(state.search, !state.isPattern));
  elements.grouping.addEventListener("change", () => setGrouping(elements.grouping.value));
  elements.calls.addEventListener("click", () => setCallers(false));
  elements.callers.addEventListener("click", () => setCallers(true));
  elements.turn.addEventListener("click", turn);
  elements["functions-toggle"].addEventListener("click", () => toggleFunctions());
  elements.help.addEventListener("click", () => elements.keys.showModal());
  elements.copy.addEventListener("click", copyName);
  elements.theme.addEventListener("click", () => {
    state.isDark = !(state.isDark ?? systemDark.matches);
    applyTheme();
  });
  systemDark.addEventListener("change", applyTheme);
  for (const order of ["self", "total"]) {
    elements[`sort-${order}`].addEventListener("click", () => {
      state.sortBy = order;
      showFunctions();
    });
  }
}

async function inlinePayload() {
  const text = atob(elements.payload.textContent);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

async function start() {
  listen();
  applyTheme();
  toggleFunctions(matchMedia("(min-width: 1000px)").matches);
  try {
    render(await inlinePayload());
  } catch (error) {
    showNotice("The data of this page is damaged.");
    throw error;
  }
}

start();
