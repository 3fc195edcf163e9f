// What the page shows, from values.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 1000;
const TREE = 56;
const STRIP = 20;

export function make(tag, values = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(values)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export const percent = (share) => {
  const value = 100 * share;
  return `${value >= 99.95 || value < 0.05 ? Math.round(value) : value.toFixed(1)} %`;
};

// Crops of a node, the first of each of its clusters before the second of any.
export function cropsOf(tree, counts, kinds, node, kind, most) {
  const which = kinds.indexOf(kind);
  const members = [...tree.members[node]].sort((a, b) => tree.shares[b] - tree.shares[a]);
  const found = [];
  for (let number = 0; found.length < most; number += 1) {
    const some = members.filter((cluster) => number < counts[cluster][which]);
    if (!some.length) break;
    found.push(...some.map((cluster) => ({ cluster, kind, number })));
  }
  return found.slice(0, most);
}

export function crop({ cluster, kind, number }) {
  return make("img", {
    src: `crops/${cluster}-${kind}-${number}.jpg`,
    alt: `${kind} crop of cluster ${cluster}`,
    title: `cluster ${cluster}, ${kind}`,
    width: 192,
    height: 192,
    draggable: false,
  });
}

export function cropRow(words, crops, wide) {
  const row = make("figure", { className: wide ? "wide" : "" });
  row.append(make("figcaption", {}, words), make("div", {}, ...crops.map(crop)));
  return row;
}

// The tree above a strip of its nodes, each as wide as its share of pixels.
export function drawMap(svg, { tree, nodes, at, stateOf, titleOf, onPick }) {
  svg.replaceChildren();
  const deep = tree.merges.length ? TREE : 0;
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${deep + STRIP + 2}`);
  svg.setAttribute("preserveAspectRatio", "none");
  const ends = new Map();
  let end = 0;
  for (const cluster of [...tree.place.keys()]) {
    ends.set(cluster, [end, (end += tree.shares[cluster] * WIDE)]);
  }
  const span = (node) => {
    const all = tree.members[node].map((cluster) => ends.get(cluster));
    return [Math.min(...all.map(([from]) => from)), Math.max(...all.map(([, to]) => to))];
  };
  drawTree(svg, tree, nodes[at], span);
  nodes.forEach((node, index) => {
    const [from, to] = span(node);
    const part = shape("rect", {
      x: from,
      y: deep + 1,
      width: Math.max(0.6, to - from - 0.8),
      height: STRIP,
      class: `${stateOf(node)}${index === at ? " here" : ""}`,
    });
    part.append(shape("title", {}, titleOf(node)));
    part.addEventListener("click", () => onPick(index));
    svg.append(part);
  });
}

function drawTree(svg, tree, here, span) {
  const x = [];
  for (let node = 0; node < tree.members.length; node += 1) {
    const children = tree.children(node);
    const [from, to] = children.length ? children.map((child) => x[child]) : span(node);
    x.push((from + to) / 2);
  }
  const y = (node) => TREE - (node < tree.count ? 0 : (TREE - 3) * tree.heights[node - tree.count]);
  const inner = new Set(tree.members[here]);
  const lines = { other: "", here: "" };
  for (let node = tree.count; node < tree.members.length; node += 1) {
    const [a, b] = tree.children(node);
    const top = y(node).toFixed(1);
    const path = `M${x[a].toFixed(1)} ${y(a).toFixed(1)}V${top}H${x[b].toFixed(1)}V${y(b).toFixed(1)}`;
    lines[tree.members[node].every((cluster) => inner.has(cluster)) ? "here" : "other"] += path;
  }
  // From the item to the root: where it hangs.
  let above = tree.parents.get(here);
  let way = `M${x[here].toFixed(1)} ${y(here).toFixed(1)}`;
  while (above !== undefined) {
    way += `V${y(above).toFixed(1)}H${x[above].toFixed(1)}`;
    above = tree.parents.get(above);
  }
  for (const [name, path] of [...Object.entries(lines), ["here", way]]) {
    svg.append(shape("path", { d: path, class: `line ${name}` }));
  }
}

function shape(tag, values, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}
