// One screen for a group of clusters or for one of them; keys, and what they do.

import { crop, cropRow, cropsOf, drawMap, make, percent } from "./draw.js";
import { Names, request } from "./names.js";
import { Tree } from "./tree.js";

const KINDS = ["typical", "borderline", "random"];
const NEIGHBORS = 4;
const CHIPS = 40;
const touch = matchMedia("(pointer: coarse)").matches;

const one = (selector) => document.querySelector(selector);
const box = one("#name");

const about = await request("clusters.json");
if (about.error) {
  one("#banner").textContent = about.error;
  one("#banner").hidden = false;
  throw new Error(about.error);
}
const noClass = [about.noise, about.unsure];
const tree = new Tree(about);
const names = new Names(onChange, onSaving, onBroken);
const BY_TEXT = " (by text: captions trained that model)";
const known = []; // names in the order in which they came
const done = []; // steps, to be taken back
let nodes = tree.cut(about.groups); // groups and clusters, in order
let at = 0; // which is shown
let saidUntil;

// What is there.

function nameOf(node) {
  return names.of(tree.members[node][0]);
}

function refresh() {
  const here = tree.members[nodes[at]][0];
  nodes = nodes.flatMap((node) => tree.uniform(node, names.of));
  at = nodes.findIndex((node) => tree.members[node].includes(here));
  const given = [...new Set(nodes.map(nameOf))].filter((name) => name && !noClass.includes(name));
  const share = (name) => nodes.reduce((sum, n) => sum + (nameOf(n) === name) * tree.shares[n], 0);
  const fresh = given.filter((name) => !known.includes(name));
  known.push(...fresh.sort((a, b) => share(b) - share(a)));
}

function nearest() {
  if (tree.merges.length) return tree.neighbors(nodes[at], nodes);
  return nodes.slice(0, at).reverse(); // without a tree: those before
}

const nameOfNearest = () => nearest().map(nameOf).find((name) => name && name !== about.unsure);

// What is done.

function rename(name) {
  const node = nodes[at];
  const seen = names.set(tree.members[node].map((cluster) => [cluster, name]));
  done.push({ node, seen, name });
  refresh();
}

function accept(name) {
  rename(name);
  const next = nodes.findIndex((node, index) => index > at && !nameOf(node));
  const found = next >= 0 ? next : nodes.findIndex((node) => !nameOf(node));
  if (found >= 0) at = found;
  else say("Every cluster has a name. End with Ctrl-C in the terminal.");
  show();
}

function split() {
  const node = nodes[at];
  const children = tree.children(node);
  if (!children.length) {
    say("This is a single cluster: there is nothing finer.");
    return;
  }
  if (nameOf(node)) {
    say("It has a name. Take that away first: Delete, or Ctrl Z.");
    return;
  }
  nodes.splice(at, 1, ...children);
  done.push({ node, split: true });
  show();
}

function undo() {
  const step = done.pop();
  if (!step) {
    say("There is nothing to take back.");
    return;
  }
  if (step.split) {
    const inner = new Set(tree.members[step.node]);
    const first = nodes.findIndex((node) => inner.has(tree.members[node][0]));
    nodes = nodes.filter((node) => !inner.has(tree.members[node][0]));
    nodes.splice(first, 0, step.node);
    at = first;
  } else {
    at = nodes.findIndex((node) => tree.members[step.node].includes(tree.members[node][0]));
    const mine = step.seen.every(([cluster]) => names.of(cluster) === step.name);
    if (mine) names.set(step.seen);
    else say("Somebody else named it since: that stays.");
  }
  refresh();
  show();
}

function same() {
  const name = nameOfNearest();
  if (name) accept(name);
  else say("No neighbor has a name yet. Press Enter, then type one.");
}

function move(step) {
  at = (at + step + nodes.length) % nodes.length;
  show();
}

const keys = {
  g: same,
  k: split,
  n: () => accept(about.noise),
  u: () => accept(about.unsure),
  z: undo,
  ArrowLeft: () => move(-1),
  ArrowUp: () => move(-1),
  ArrowRight: () => move(1),
  ArrowDown: () => move(1),
  Enter: () => box.focus(),
  Delete: () => {
    if (nameOf(nodes[at])) rename(null);
    show();
  },
  "?": () => one("#help").toggleAttribute("open"),
};

document.addEventListener("keydown", (event) => {
  const taken = box === document.activeElement;
  const undoes = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !event.shiftKey;
  if (undoes) {
    if (taken && box.value) return; // of the letters in the box
    event.preventDefault();
    undo();
    return;
  }
  if (taken || event.ctrlKey || event.metaKey || event.altKey) return;
  const onControl = event.target.closest?.("button, summary");
  if (onControl && [" ", "Enter"].includes(event.key)) return;
  const digit = /^[1-9]$/.test(event.key) && known[Number(event.key) - 1];
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const act = digit ? () => accept(digit) : key !== "z" && keys[key];
  if (act) {
    event.preventDefault();
    act();
  } else if (/^\p{L}$/u.test(event.key)) {
    say("Letters are keys here. Press Enter first, then type a name.");
  }
});

// The box.

const idle = touch ? "Type a name" : box.placeholder;
let choice = 0; // of the names that complete what is typed

box.addEventListener("focus", () => (box.placeholder = "Type a name"));
box.addEventListener("blur", () => (box.placeholder = idle));

function matches(typed) {
  const start = typed.toLowerCase();
  return [...known, ...noClass].filter((name) => name.toLowerCase().startsWith(start));
}

function complete(typed) {
  const found = matches(typed);
  const name = found[choice % found.length];
  if (!name || !typed) return;
  box.value = name;
  box.setSelectionRange(typed.length, name.length);
}

box.addEventListener("input", (event) => {
  choice = 0;
  if (!event.isComposing && event.inputType?.startsWith("insert")) complete(box.value);
});

box.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  if (event.key === "Escape") {
    box.value = "";
    box.blur();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const typed = box.value.slice(0, box.selectionStart);
    const count = matches(typed).length;
    choice = count ? (choice + (event.key === "ArrowDown" ? 1 : count - 1)) % count : 0;
    complete(typed);
    event.preventDefault();
  } else if (event.key === "Tab" && box.selectionStart < box.selectionEnd) {
    box.setSelectionRange(box.value.length, box.value.length);
    event.preventDefault();
  }
});

one("#form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = box.value.trim();
  if (name) {
    box.value = "";
    box.blur();
    accept(name);
  } else if (document.activeElement === box) box.blur();
  else box.focus();
});

for (const button of document.querySelectorAll("#actions button")) {
  button.addEventListener("click", () => {
    keys[button.dataset.key]();
    button.blur();
  });
}

// What is shown.

function show() {
  const node = nodes[at];
  const children = tree.children(node);
  const count = tree.members[node].length;
  const name = nameOf(node);
  one("main").dataset.clusters = tree.members[node].join(" ");
  one("h1").replaceChildren(
    count > 1 ? `Group of ${count} clusters` : `Cluster ${node}`,
    make("small", {}, `${percent(tree.shares[node])} of pixels`),
  );
  one(".about").replaceChildren(...explained(count));
  one("#crops").className = children.length ? "halves" : "";
  one("#crops").replaceChildren(
    ...(children.length ? children.map(half) : rows(node, [12, 4, 4])),
  );
  const byText = tree.members[node].some((cluster) => names.byText.has(cluster));
  one("#now").textContent = name ? `now: ${name}${byText ? BY_TEXT : ""}` : "";
  one("#known").replaceChildren(...known.slice(0, CHIPS).map(chip));
  const near = nameOfNearest();
  button("g", near ? `Same as its neighbor: ${near}` : "Same as its neighbor", !near);
  button("k", null, !children.length || Boolean(name));
  button("z", null, !done.length);
  showNear();
  showProgress();
}

function explained(count) {
  if (count === 1) return ["Bright, within the line, is what this cluster covers. What is it?"];
  return ["One thing? Name it. Several things? Split it into these halves", touch ? "." : ": k."];
}

function half(node, index) {
  const members = tree.members[node];
  const what = members.length > 1 ? `${members.length} clusters` : `cluster ${members[0]}`;
  const heading = make("h2", {}, `${"AB"[index]} `, make("small", {}, `${what}, ${percent(tree.shares[node])}`));
  return make("div", { className: "half" }, heading, ...rows(node, [6, 2, 2]));
}

function rows(node, most) {
  const [typical, borderline, random] = KINDS.map((kind, which) =>
    cropsOf(tree, about.crops, KINDS, node, kind, most[which]),
  );
  if (!typical.length) {
    return [make("p", { className: "none" }, "None of the images that were looked at shows it.")];
  }
  const found = [cropRow("Typical", typical, true)];
  if (borderline.length) found.push(cropRow("Borderline: almost another cluster", borderline));
  if (random.length) found.push(cropRow("At random", random));
  return found;
}

function chip(name, index) {
  const key = index < 9 ? [make("kbd", {}, String(index + 1))] : [];
  const made = make("button", { type: "button" }, ...key, make("span", {}, name));
  made.addEventListener("click", () => accept(name));
  return made;
}

function button(key, words, disabled) {
  const found = one(`#actions [data-key="${key}"]`);
  found.disabled = disabled;
  if (words) found.querySelector("span").textContent = words;
}

function showNear() {
  const near = tree.merges.length ? nearest().slice(0, NEIGHBORS) : [];
  one("#near").hidden = !near.length;
  one("#near div").replaceChildren(
    ...near.map((node) => {
      const [first] = cropsOf(tree, about.crops, KINDS, node, "typical", 1);
      const words = make("span", {}, nameOf(node) ?? "no name yet", make("small", {}, percent(tree.shares[node])));
      words.className = nameOf(node) ? "" : "unnamed";
      const made = make("button", { type: "button" }, first ? crop(first) : "", words);
      made.addEventListener("click", () => {
        at = nodes.indexOf(node);
        show();
      });
      return made;
    }),
  );
}

function stateOf(node) {
  const name = nameOf(node);
  return { [about.noise]: "noise", [about.unsure]: "unsure" }[name] ?? (name ? "named" : "open");
}

function showProgress() {
  const settled = nodes.filter((node) => !["open", "unsure"].includes(stateOf(node)));
  const share = settled.reduce((sum, node) => sum + tree.shares[node], 0);
  const open = nodes.filter((node) => stateOf(node) === "open").length;
  const unsure = nodes.filter((node) => stateOf(node) === "unsure").length;
  one("#title").textContent = about.title;
  document.title = `${percent(share)} named · ${about.title} · raynef`;
  one("#named").textContent = percent(share);
  one("#left").textContent = `${open} left${unsure ? `, ${unsure} unsure` : ""}`;
  one("#bar").setAttribute("aria-valuenow", Math.round(100 * share));
  one("#bar i").style.width = `${100 * share}%`;
  drawMap(one("#map"), {
    tree,
    nodes,
    at,
    stateOf,
    titleOf: (node) => `${nameOf(node) ?? "no name yet"}, ${percent(tree.shares[node])}`,
    onPick: (index) => {
      at = index;
      show();
    },
  });
}

// What is said.

function say(words) {
  one("#toast").textContent = words;
  one("#toast").hidden = false;
  clearTimeout(saidUntil);
  saidUntil = setTimeout(() => (one("#toast").hidden = true), 5000);
}

function onChange(words, own) {
  refresh();
  const step = done.findLastIndex(({ node, split }) => !split && own.includes(tree.members[node][0]));
  if (step >= 0) done.splice(step, 1); // it was not taken
  const refused = nodes.findIndex((node) => own.includes(tree.members[node][0]));
  if (refused >= 0 && box !== document.activeElement) at = refused;
  show();
  say(words);
}

function onSaving(count) {
  one("#saving").hidden = !count;
}

function onBroken(words) {
  one("#banner").textContent = words;
  one("#banner").hidden = !words;
}

box.placeholder = idle;
await names.load();
refresh();
at = Math.max(0, nodes.findIndex((node) => !nameOf(node)));
show();
