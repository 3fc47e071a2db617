/* The drawing side of the page: a graph of a view on a canvas as large as what is visible of it.
 *
 * A layout is the boxes of all rows for one horizontal section of the view, row by row, each row from left to right.
 * Boxes narrower than half a pixel are not in it: as children are sorted, those of a node that are left out are its
 * last ones, and one box (with the complement of the node's number) stands for all of them. */

const NARROWEST = 0.5; // pixels
const REST_NARROWEST = 3;
const TEXT_NARROWEST = 28;
const TEXT_PADDING = 6;
const ASIDE_ALPHA = 0.3; // frames that do not match the search, or that are around the zoom
const ASIDE_TEXT_ALPHA = 0.7;
const ZOOM_MILLISECONDS = 180;
const SLOW_PAINT_MILLISECONDS = 14; // no animation where a frame takes longer than the screen shows it

/* Section [left, right) of a view, in samples, laid out on width pixels. */
function layOut(view, section, width) {
  const scale = width / (section.right - section.left);
  const layout = { node: [0], left: [-section.left * scale], width: [view.total[0] * scale], rowStart: [0, 1] };
  let more = true;
  while (more) {
    const [start, end] = layout.rowStart.slice(-2);
    for (let box = start; box < end; box++) {
      if (layout.node[box] >= 0) layOutChildren(view, layout, box, scale, width);
    }
    more = layout.node.length > end;
    if (more) layout.rowStart.push(layout.node.length);
  }
  return layout;
}

function layOutChildren(view, layout, box, scale, width) {
  const parent = layout.node[box];
  let left = layout.left[box];
  const end = left + (view.total[parent] - view.self[parent]) * scale;
  for (const child of childrenOf(view, parent)) {
    const childWidth = view.total[child] * scale;
    if (left >= width) return;
    if (childWidth < NARROWEST) {
      if (end - left >= REST_NARROWEST && end > 0) pushBox(layout, ~parent, left, end - left);
      return;
    }
    if (left + childWidth > 0) pushBox(layout, child, left, childWidth);
    left += childWidth;
  }
}

function pushBox(layout, node, left, width) {
  layout.node.push(node);
  layout.left.push(left);
  layout.width.push(width);
}

/* Where a node lies, in samples: the zoom on it. */
function sectionOf(view, node) {
  let left = 0;
  for (let step = node; step > 0; step = view.parent[step]) {
    for (const sibling of childrenOf(view, view.parent[step])) {
      if (sibling === step) break;
      left += view.total[sibling];
    }
  }
  return { left, right: left + view.total[node] };
}

/* Hue of each category, and lightness and chroma (OKLCH) in both themes; text on any of them has a contrast of at least
 * 4.5. Frames of one binary share a hue near that of their category. */
const HUES = [66, 298, 190, 70, 70];
const LIGHT_THEME = { lightness: [0.86, 0.81, 0.86, 0.88, 0.93], chroma: [0.088, 0.08, 0.068, 0.008, 0.007] };
const DARK_THEME = { lightness: [0.49, 0.45, 0.46, 0.39, 0.3], chroma: [0.088, 0.11, 0.07, 0.006, 0.008] };
const HUE_STEPS = 7;
const HUE_STEP = 4.5; // degrees
const SHADE_STEPS = 4;
const SHADE_STEP = 0.014; // lightness

/* Colours of frames as [category][shade], of legend and table as [category]. */
function makePalette(isDark) {
  const theme = isDark ? DARK_THEME : LIGHT_THEME;
  const shades = HUES.map((hue, category) =>
    Array.from({ length: HUE_STEPS * SHADE_STEPS }, (_, shade) => {
      if (category === GROUP) return `oklch(${theme.lightness[GROUP]} ${theme.chroma[GROUP]} ${hue})`;
      const turn = ((shade % HUE_STEPS) - (HUE_STEPS - 1) / 2) * HUE_STEP;
      const lift = (Math.floor(shade / HUE_STEPS) - (SHADE_STEPS - 1) / 2) * SHADE_STEP;
      return `oklch(${theme.lightness[category] + lift} ${theme.chroma[category]} ${hue + turn})`;
    }),
  );
  const plain = (lightness, factor) => HUES.map((hue, category) => `oklch(${lightness} ${theme.chroma[category] * factor} ${hue})`);
  return {
    shades,
    strong: isDark ? plain(0.74, 1.45) : plain(0.74, 1.75), // legend and matches
    strongText: "oklch(0.2 0.02 60)",
    bars: isDark ? plain(0.34, 0.6) : plain(0.94, 0.45),
    text: isDark ? "oklch(0.96 0.005 70)" : "oklch(0.24 0.02 60)",
    rest: isDark ? "oklch(0.27 0.004 70)" : "oklch(0.955 0.004 70)",
  };
}

function hashText(text) {
  let hash = 0x811c9dc5; // FNV-1a
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

function shadeOf(view, frame) {
  const hue = hashText(frameBinary(view, frame)) % HUE_STEPS;
  return hue + HUE_STEPS * (hashText(frameName(view, frame)) % SHADE_STEPS);
}

/* The part of a name that tells most where there is no room for all of it: without types, arguments and namespaces. */
function shortName(name) {
  let plain = "";
  let nested = 0;
  for (const character of name.replaceAll("->", "")) {
    if (character === "<" || character === "(") nested++;
    else if (character === ">" || character === ")") nested = Math.max(0, nested - 1);
    else if (nested === 0) plain += character;
  }
  if (!plain.includes("::")) return name.slice(name.lastIndexOf("/") + 1) || name;
  const parts = plain.split("::").filter((part) => part !== "");
  let first = parts.length - 1;
  while (first > 0 && parts[first].startsWith("{")) first--; // a closure is told by what encloses it
  return parts.slice(Math.max(first, 0)).join("::") || name;
}

/* Fits names into boxes, from widths of single characters: measuring each text would take longer than all else. */
class TextFitter {
  constructor(context) {
    this.context = context;
    this.widths = new Map();
  }

  characterWidth(character) {
    let width = this.widths.get(character);
    if (width === undefined) {
      width = this.context.measureText(character).width;
      this.widths.set(character, width);
    }
    return width;
  }

  /* The text, or what fits of it and an ellipsis, or "". */
  fit(text, room) {
    const ellipsis = this.characterWidth("…");
    let used = 0;
    let fitting = 0; // length that leaves room for the ellipsis
    let index = 0;
    for (const character of text) {
      used += this.characterWidth(character);
      if (used > room) return fitting > 1 ? `${text.slice(0, fitting)}…` : "";
      index += character.length;
      if (used + ellipsis <= room) fitting = index;
    }
    return text;
  }

  label(name, room) {
    const whole = this.fit(name, room);
    return whole === name ? whole : this.fit(shortName(name), room);
  }
}

/* Shows a view in a scrolling element: in it are a spacer as high as all rows, a canvas that stays in sight, and two
 * rings around the frames that pointer and keys are at.
 *
 * Calls back: hover(node, event) as nodeAt() gives it, zoom(node) and painted(). */
class Graph {
  constructor(elements, callbacks) {
    this.scroller = elements.scroller;
    this.spacer = elements.spacer;
    this.canvas = elements.canvas;
    this.hoverRing = elements.hoverRing;
    this.focusRing = elements.focusRing;
    this.context = this.canvas.getContext("2d");
    this.fitter = new TextFitter(this.context);
    this.callbacks = callbacks;
    this.view = null;
    this.zoomed = 0;
    this.focused = -1;
    this.hovered = -1;
    this.rootAtBottom = false;
    this.matches = null;
    this.lastPaintMilliseconds = 0;
    this.animation = 0;
    this.paintRequest = 0;
    this.resize();
    new ResizeObserver(() => this.resize()).observe(this.scroller);
    this.scroller.addEventListener("scroll", () => this.requestPaint());
    this.canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.hover(event));
    this.canvas.addEventListener("pointerleave", () => this.setHovered(null, null));
    this.canvas.addEventListener("click", (event) => this.click(event));
  }

  get rows() {
    return this.layout.rowStart.length - 1;
  }

  /* Shows another view, or the same differently: zoomed on a node, with matches (of frames, or null). */
  show({ view, zoomed, matches, rootAtBottom, palette }) {
    const isNew = view !== this.view;
    const isTurned = rootAtBottom !== this.rootAtBottom;
    const wasZoomed = this.zoomed;
    Object.assign(this, { view, zoomed, matches, rootAtBottom, palette });
    if (isNew) {
      this.shades = new Map();
      this.setHovered(null, null);
      this.focused = -1;
    }
    const target = sectionOf(view, zoomed);
    if (isNew || !this.section || wasZoomed === zoomed) this.moveTo(target);
    else this.animateTo(target);
    if (isNew || isTurned || wasZoomed !== zoomed) this.reveal(zoomed);
  }

  setFocus(node) {
    this.focused = node;
    if (node >= 0) this.reveal(node);
    this.placeRings();
  }

  moveTo(section) {
    cancelAnimationFrame(this.animation);
    this.section = section;
    this.relayOut();
  }

  animateTo(target) {
    const isQuiet = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (isQuiet || this.lastPaintMilliseconds > SLOW_PAINT_MILLISECONDS) {
      this.moveTo(target);
      return;
    }
    cancelAnimationFrame(this.animation);
    const from = this.section;
    const started = performance.now();
    const step = (now) => {
      const part = Math.min(1, Math.max(0, now - started) / ZOOM_MILLISECONDS);
      const eased = 1 - (1 - part) ** 3;
      const between = (start, end) => start + (end - start) * eased;
      this.section = part < 1 ? { left: between(from.left, target.left), right: between(from.right, target.right) } : target;
      this.relayOut();
      if (part < 1) this.animation = requestAnimationFrame(step);
      else this.reveal(this.zoomed);
    };
    this.animation = requestAnimationFrame(step);
  }

  relayOut() {
    this.layout = layOut(this.view, this.section, this.width);
    const { scroller } = this;
    const fromBottom = this.rootAtBottom ? scroller.scrollHeight - scroller.scrollTop : 0;
    this.spacer.style.height = `${this.rows * this.rowHeight}px`;
    if (this.rootAtBottom) scroller.scrollTop = scroller.scrollHeight - fromBottom;
    this.requestPaint();
  }

  resize() {
    const style = getComputedStyle(this.scroller);
    this.width = this.scroller.clientWidth;
    this.height = this.scroller.clientHeight;
    this.rowHeight = Number.parseFloat(style.getPropertyValue("--row-height"));
    this.font = `${style.getPropertyValue("--row-font-size")} ${style.fontFamily}`;
    this.fitter.widths.clear();
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.font = this.font;
    this.context.textBaseline = "middle";
    if (!this.view) return;
    this.relayOut();
    this.paint(); // at once: a resized canvas is empty
  }

  requestPaint() {
    this.paintRequest ||= requestAnimationFrame(() => this.paint());
  }

  paint() {
    cancelAnimationFrame(this.paintRequest);
    this.paintRequest = 0;
    if (!this.view || !this.width) return;
    const started = performance.now();
    const { context, layout, rowHeight } = this;
    context.clearRect(0, 0, this.width, this.height);
    for (let row = 0; row < this.rows; row++) {
      const top = this.topOf(row) - this.scroller.scrollTop;
      if (top + rowHeight <= 0 || top >= this.height) continue;
      for (let box = layout.rowStart[row]; box < layout.rowStart[row + 1]; box++) this.paintBox(box, top);
    }
    context.globalAlpha = 1;
    this.placeRings();
    this.lastPaintMilliseconds = performance.now() - started;
    this.callbacks.painted();
  }

  paintBox(box, top) {
    const { context, layout, view, palette } = this;
    const node = layout.node[box];
    const boxLeft = Math.max(0, Math.round(layout.left[box]));
    const boxRight = Math.min(this.width, Math.round(layout.left[box] + layout.width[box]));
    const width = Math.max(1, boxRight - boxLeft - (layout.width[box] > 3 ? 1 : 0));
    if (node < 0) {
      context.globalAlpha = 1;
      context.fillStyle = palette.rest;
      context.fillRect(boxLeft, top, width, this.rowHeight - 1);
      return;
    }
    const frame = view.frame[node];
    const isMatch = this.matches !== null && this.matches[frame] === 1;
    const isAside = !isMatch && (this.matches !== null || view.depth[node] < view.depth[this.zoomed]);
    context.globalAlpha = isAside ? ASIDE_ALPHA : 1;
    context.fillStyle = isMatch ? palette.strong[frameCategory(view, frame)] : this.colour(frame);
    context.fillRect(boxLeft, top, width, this.rowHeight - 1);
    if (width < TEXT_NARROWEST) return;
    const label = this.fitter.label(frameName(view, frame), width - 2 * TEXT_PADDING);
    context.globalAlpha = isAside ? ASIDE_TEXT_ALPHA : 1;
    context.fillStyle = isMatch ? palette.strongText : palette.text;
    context.fillText(label, boxLeft + TEXT_PADDING, top + this.rowHeight / 2);
  }

  colour(frame) {
    let shade = this.shades.get(frame);
    if (shade === undefined) {
      shade = shadeOf(this.view, frame);
      this.shades.set(frame, shade);
    }
    return this.palette.shades[frameCategory(this.view, frame)][shade];
  }

  /* Distance of a row from the top of all rows; with the root at the bottom, few rows stand at the bottom. */
  topOf(row) {
    if (!this.rootAtBottom) return row * this.rowHeight;
    return Math.max(this.rows * this.rowHeight, this.height) - (row + 1) * this.rowHeight;
  }

  reveal(node) {
    const row = this.view.depth[node];
    const top = this.topOf(row);
    const margin = Math.min(3 * this.rowHeight, this.height / 4);
    const { scrollTop } = this.scroller;
    if (top < scrollTop + margin) this.scroller.scrollTop = top - margin;
    else if (top > scrollTop + this.height - margin) this.scroller.scrollTop = top + margin - this.height;
  }

  /* The box of a node, -1 where it is not drawn. */
  boxOf(node) {
    const row = this.view.depth[node];
    if (row >= this.rows) return -1;
    const { node: nodes, rowStart } = this.layout;
    for (let box = rowStart[row]; box < rowStart[row + 1]; box++) if (nodes[box] === node) return box;
    return -1;
  }

  /* Where a node is drawn, relative to the scrolled content; null where it is not. */
  rectangleOf(node) {
    const box = node < 0 ? -1 : this.boxOf(node);
    if (box < 0) return null;
    const left = Math.max(0, Math.round(this.layout.left[box]));
    const right = Math.min(this.width, Math.round(this.layout.left[box] + this.layout.width[box]));
    return { left, top: this.topOf(this.view.depth[node]), width: Math.max(right - left - 1, 1), height: this.rowHeight - 1 };
  }

  placeRings() {
    for (const [ring, node] of [[this.hoverRing, this.hovered], [this.focusRing, this.focused]]) {
      const rectangle = this.rectangleOf(node);
      ring.hidden = !rectangle;
      if (!rectangle) continue;
      for (const side of ["left", "top", "width", "height"]) ring.style[side] = `${rectangle[side]}px`;
    }
  }

  /* The node under a pointer; the complement of a node for the rest of its children; null for none. */
  nodeAt(event) {
    if (!this.view) return null;
    const y = event.offsetY + this.scroller.scrollTop;
    const fromRoot = this.rootAtBottom ? Math.max(this.rows * this.rowHeight, this.height) - y : y;
    const row = Math.floor(fromRoot / this.rowHeight);
    if (row < 0 || row >= this.rows) return null;
    const { node, left, width, rowStart } = this.layout;
    for (let box = rowStart[row]; box < rowStart[row + 1]; box++) {
      if (event.offsetX >= left[box] && event.offsetX < left[box] + Math.max(width[box], 1)) return node[box];
    }
    return null;
  }

  hover(event) {
    this.setHovered(this.nodeAt(event), event);
  }

  setHovered(node, event) {
    this.hovered = node ?? -1;
    this.canvas.style.cursor = this.hovered >= 0 ? "pointer" : "default";
    this.callbacks.hover(node, event);
    if (this.layout) this.placeRings();
  }

  click(event) {
    const node = this.nodeAt(event);
    if (node === null || node < 0) return;
    this.setHovered(null, null); // what was under the pointer moves away
    this.callbacks.zoom(node);
  }

  /* The node that lies in a direction from another: "callee", "caller", "left" or "right"; itself where none does. */
  neighbour(node, direction) {
    if (direction === "caller") return Math.max(this.view.parent[node], 0);
    if (direction === "callee") {
      const [heaviest] = childrenOf(this.view, node);
      return heaviest !== undefined && this.boxOf(heaviest) >= 0 ? heaviest : node;
    }
    const row = this.view.depth[node];
    const box = this.boxOf(node) + (direction === "left" ? -1 : 1);
    if (box < this.layout.rowStart[row] || box >= this.layout.rowStart[row + 1]) return node;
    return this.layout.node[box] >= 0 ? this.layout.node[box] : node;
  }
}
