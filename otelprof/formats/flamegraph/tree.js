"use strict";

/* The data side of the page: nothing here knows of the document.
 *
 * A profile is what was recorded: frames, stacks sorted from root to leaf, and rows that say how many samples a thread
 * spent in a stack. A view is a profile merged for one way of looking at it: a tree whose node 0 holds everything.
 * Frames are numbers; those from profile.frameCount on stand for groups of samples. */

const CATEGORIES = ["native", "kernel", "runtime", "unknown"];
const GROUP = CATEGORIES.length; // the category of frames that stand for a process, a thread or everything

/* For each way of grouping: the groups a thread is in, outermost first, as [key, name]. */
const GROUPINGS = {
  none: () => [],
  program: (profile, thread) => {
    const name = processName(profile, profile.thread.process[thread]);
    return [[name, name]];
  },
  process: (profile, thread) => {
    const process = profile.thread.process[thread];
    const pid = profile.process.pid[process];
    return [[`p${process}`, named(processName(profile, process), pid)]];
  },
  thread: (profile, thread) => {
    const name = profile.strings[profile.thread.name[thread]];
    const tid = profile.thread.tid[thread];
    return [...GROUPINGS.process(profile, thread), [`t${thread}`, named(name || "thread", tid)]];
  },
};

function processName(profile, process) {
  return profile.strings[profile.process.name[process]] || "[unknown process]";
}

function named(name, id) {
  return id ? `${name} (${id})` : name;
}

const COLUMN_TYPES = { B: Uint8Array, H: Uint16Array, I: Uint32Array, d: Float64Array };

/* Unpacks an ArrayBuffer made by Payload.encode (payload.py): its texts and numbers, and each table as an object of
 * columns. */
function decodeProfile(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const profile = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  let offset = 4 + size;
  for (const [name, type, length] of profile.columns) {
    const column = new COLUMN_TYPES[type](buffer, offset, length);
    offset += Math.ceil(column.byteLength / 8) * 8;
    const [table, field] = name.split(".");
    (profile[table] ??= {})[field] = column;
  }
  profile.frameCount = profile.frame.name.length;
  profile.total = profile.row.count.reduce((sum, count) => sum + count, 0);
  return profile;
}

/* Merges a profile: options are {grouping, callers, hidden}. With callers, stacks are read from leaf to root.
 * Frames of a category in the set hidden are left out; their samples count for the caller.
 *
 * In a view every row has a path: the frames of its groups (the first stands for everything), then those of its stack.
 * Rows are sorted by path, so that a node is a range of rows whose paths begin alike. */
function makeView(profile, options) {
  const { groups, groupPaths, groupOfThread } = groupThreads(profile, options.grouping);
  const stacks = isPlain(options) ? plainStacks(profile) : changedStacks(profile, options);
  const { thread, stack, count } = profile.row;
  const rows = sortRows(profile, groupOfThread, groupPaths.length, stacks.rank);
  const groupDepth = groupPaths[0]?.length ?? 1;
  const view = {
    profile,
    groups,
    groupPaths,
    groupDepth,
    callers: options.callers,
    steps: stacks.steps,
    group: new Int32Array(rows.length),
    firstStep: new Int32Array(rows.length),
    pathLength: new Int32Array(rows.length),
    before: new Float64Array(rows.length + 1), // samples of all rows before each
    alike: new Int32Array(rows.length), // length of the path that a row has in common with the one before
    // Nodes, made when their parent's children are asked for.
    first: [], // first row
    end: [], // row after the last
    depth: [],
    parent: [],
    frame: [],
    self: [],
    total: [],
    children: [],
  };
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index];
    view.group[index] = groupOfThread[thread[row]];
    view.firstStep[index] = stacks.first[stack[row]];
    view.pathLength[index] = groupDepth + stacks.length[stack[row]];
    view.before[index + 1] = view.before[index] + count[row];
    if (index > 0) view.alike[index] = commonLength(view, index - 1, index);
  }
  view.groupPaths[0] ??= [profile.frameCount];
  addNode(view, -1, 0, rows.length, 0);
  return view;
}

function groupThreads(profile, grouping) {
  const groups = ["all"];
  const groupPaths = [];
  const frames = new Map();
  const indexes = new Map();
  const groupOfThread = Array.from(profile.thread.process, (_, thread) => {
    const path = GROUPINGS[grouping](profile, thread);
    const key = path.map(([name]) => name).join();
    if (!indexes.has(key)) {
      indexes.set(key, groupPaths.length);
      const groupFrames = path.map(([part, name]) => {
        if (!frames.has(part)) frames.set(part, profile.frameCount + groups.push(name) - 1);
        return frames.get(part);
      });
      groupPaths.push([profile.frameCount, ...groupFrames]);
    }
    return indexes.get(key);
  });
  return { groups, groupPaths, groupOfThread };
}

function isPlain(options) {
  return !options.callers && options.hidden.size === 0;
}

/* Stacks as they are recorded: sorted already. */
function plainStacks(profile) {
  const { length } = profile.stack;
  const first = new Int32Array(length.length);
  for (let stack = 1; stack < length.length; stack++) first[stack] = first[stack - 1] + length[stack - 1];
  return { steps: profile.step.frame, first, length, rank: first.map((_, stack) => stack) };
}

/* Stacks turned round, or with frames left out, and where each comes in their order. */
function changedStacks(profile, { callers, hidden }) {
  const isHidden = CATEGORIES.map((category) => hidden.has(category));
  const plain = plainStacks(profile);
  const steps = new Int32Array(plain.steps.length);
  const first = new Int32Array(plain.first.length);
  const length = new Int32Array(plain.first.length);
  let next = 0;
  for (let stack = 0; stack < first.length; stack++) {
    first[stack] = next;
    const start = plain.first[stack];
    const end = start + plain.length[stack];
    for (let index = 0; index < end - start; index++) {
      const frame = plain.steps[callers ? end - 1 - index : start + index];
      if (!isHidden[profile.frame.category[frame]]) steps[next++] = frame;
    }
    length[stack] = next - first[stack];
  }
  const order = first.map((_, stack) => stack).sort((one, other) => {
    const both = Math.min(length[one], length[other]);
    for (let index = 0; index < both; index++) {
      const difference = steps[first[one] + index] - steps[first[other] + index];
      if (difference) return difference;
    }
    return length[one] - length[other];
  });
  const rank = new Int32Array(order.length);
  order.forEach((stack, place) => (rank[stack] = place));
  return { steps, first, length, rank };
}

/* Numbers of rows, in the order of groups and then stacks. */
function sortRows(profile, groupOfThread, groupCount, rank) {
  const { thread, stack } = profile.row;
  // Sorting plain numbers is much faster than with a comparison; these stay far below 2 ** 53.
  const count = thread.length;
  const keys = new Float64Array(count);
  for (let row = 0; row < count; row++) {
    keys[row] = (groupOfThread[thread[row]] * rank.length + rank[stack[row]]) * count + row;
  }
  return keys.sort().map((key) => key % count);
}

function commonLength(view, one, other) {
  let length = 0;
  if (view.group[one] !== view.group[other]) {
    const path = view.groupPaths[view.group[one]];
    const otherPath = view.groupPaths[view.group[other]];
    while (path[length] === otherPath[length]) length++;
    return length;
  }
  const { steps } = view;
  const start = view.firstStep[one];
  const otherStart = view.firstStep[other];
  const both = Math.min(view.pathLength[one], view.pathLength[other]) - view.groupDepth;
  while (length < both && steps[start + length] === steps[otherStart + length]) length++;
  return view.groupDepth + length;
}

function frameAt(view, row, depth) {
  if (depth < view.groupDepth) return view.groupPaths[view.group[row] ?? 0][depth];
  return view.steps[view.firstStep[row] + depth - view.groupDepth];
}

/* Adds the node of the rows from first to end, whose paths are the same down to depth. */
function addNode(view, parent, first, end, depth) {
  let firstLonger = first;
  while (firstLonger < end && view.pathLength[firstLonger] === depth + 1) firstLonger++;
  view.first.push(first);
  view.end.push(end);
  view.depth.push(depth);
  view.parent.push(parent);
  view.frame.push(frameAt(view, first, depth));
  view.self.push(view.before[firstLonger] - view.before[first]);
  view.total.push(view.before[end] - view.before[first]);
  return view.children.push(null) - 1;
}

/* The children of a node, heaviest first; of equal ones in the order of their names. */
function childrenOf(view, node) {
  return (view.children[node] ??= findChildren(view, node));
}

function findChildren(view, node) {
  const children = [];
  const depth = view.depth[node] + 1;
  const end = view.end[node];
  let first = view.first[node];
  while (first < end && view.pathLength[first] === depth) first++; // these end in the node itself
  for (let row = first + 1; row <= end; row++) {
    if (row < end && view.alike[row] > depth) continue;
    if (first < end) children.push(addNode(view, node, first, row, depth));
    first = row;
  }
  return children.sort((one, other) => {
    const heavier = view.total[other] - view.total[one];
    return heavier || compareNames(view, view.frame[one], view.frame[other]);
  });
}

function compareNames(view, one, other) {
  return frameName(view, one) < frameName(view, other) ? -1 : 1;
}

function frameName(view, frame) {
  const { profile } = view;
  if (frame >= profile.frameCount) return view.groups[frame - profile.frameCount];
  return profile.strings[profile.frame.name[frame]];
}

function frameBinary(view, frame) {
  const { profile } = view;
  return frame >= profile.frameCount ? "" : profile.strings[profile.frame.binary[frame]];
}

function frameCategory(view, frame) {
  return frame >= view.profile.frameCount ? GROUP : view.profile.frame.category[frame];
}

/* Nodes from the root to a node, both included. */
function pathTo(view, node) {
  const path = [];
  for (; node >= 0; node = view.parent[node]) path.push(node);
  return path.reverse();
}

/* What names a node in any view of the same kind, whatever its numbers are there. */
function pathKeys(view, node) {
  return pathTo(view, node).slice(1).map((step) => frameKey(view, view.frame[step]));
}

function frameKey(view, frame) {
  return `${frameName(view, frame)}\n${frameBinary(view, frame)}`;
}

/* The node with these keys; where the path is not complete in this view, its last node that is. */
function findPath(view, keys) {
  let node = 0;
  for (const key of keys) {
    const next = childrenOf(view, node).find((child) => frameKey(view, view.frame[child]) === key);
    if (next === undefined) break;
    node = next;
  }
  return node;
}

/* Makes the test of a search: plain text anywhere in function or file, "text" for exactly this function, or a
 * regular expression. Upper and lower case are one. Throws SyntaxError for a wrong expression. */
function makeMatcher(text, isPattern) {
  if (isPattern) {
    const pattern = new RegExp(text, "i");
    return (name, binary) => pattern.test(name) || pattern.test(binary);
  }
  const quoted = /^"(.+)"$/u.exec(text);
  if (quoted) return (name) => name === quoted[1];
  const wanted = text.toLowerCase();
  return (name, binary) => name.toLowerCase().includes(wanted) || binary.toLowerCase().includes(wanted);
}

/* For each frame 1 or 0. */
function matchFrames(view, matcher) {
  const matches = new Uint8Array(view.profile.frameCount + view.groups.length);
  for (let frame = 0; frame < matches.length; frame++) {
    if (matcher(frameName(view, frame), frameBinary(view, frame))) matches[frame] = 1;
  }
  matches[view.profile.frameCount] = 0; // everything is no match
  return matches;
}

/* Samples of a node that have a matching frame from it on. */
function matchedTotal(view, node, matches) {
  let matched = 0;
  for (let row = view.first[node]; row < view.end[node]; row++) {
    for (let depth = view.depth[node]; depth < view.pathLength[row]; depth++) {
      if (!matches[frameAt(view, row, depth)]) continue;
      matched += view.before[row + 1] - view.before[row];
      break;
    }
  }
  return matched;
}

/* Functions in the samples of a node, as [{frame, self, total}]; recursion counts once in total. Callers of the node
 * are left out. */
function functionTotals(view, node) {
  const { frameCount } = view.profile;
  const self = new Float64Array(frameCount);
  const total = new Float64Array(frameCount);
  const countedFor = new Int32Array(frameCount).fill(-1);
  const start = view.callers ? view.groupDepth : Math.max(view.groupDepth, view.depth[node]);
  for (let row = view.first[node]; row < view.end[node]; row++) {
    const count = view.before[row + 1] - view.before[row];
    const end = view.firstStep[row] + view.pathLength[row] - view.groupDepth;
    for (let step = view.firstStep[row] + start - view.groupDepth; step < end; step++) {
      const frame = view.steps[step];
      if (countedFor[frame] !== row) total[frame] += count;
      countedFor[frame] = row;
    }
    if (view.pathLength[row] > start) self[view.steps[view.callers ? view.firstStep[row] : end - 1]] += count;
  }
  const found = [];
  for (let frame = 0; frame < frameCount; frame++) {
    if (total[frame]) found.push({ frame, self: self[frame], total: total[frame] });
  }
  return found;
}

/* Samples whose innermost frame is of each category; without stack they are unknown. */
function categoryTotals(profile) {
  const totals = new Float64Array(CATEGORIES.length);
  const { first, length, steps } = plainStacks(profile);
  const { stack, count } = profile.row;
  for (let row = 0; row < stack.length; row++) {
    const leaf = first[stack[row]] + length[stack[row]] - 1;
    const category = length[stack[row]] ? profile.frame.category[steps[leaf]] : CATEGORIES.indexOf("unknown");
    totals[category] += count[row];
  }
  return totals;
}
