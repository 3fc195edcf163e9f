"use strict";
// Which cluster, class and label each pixel of the gallery has.

const known = JSON.parse(document.getElementById("known").textContent);
const NONE = 65535;
const unpacked = new WeakMap();

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint16Array(await new Response(plain).arrayBuffer());
}

// {ids, labels} of a row, each with a number for every pixel; labels may be missing.
function pixelsOf(row) {
  if (!unpacked.has(row)) {
    const { ids, labels } = row.dataset;
    const both = Promise.all([unpack(ids), labels ? unpack(labels) : null]);
    unpacked.set(row, both.then(([first, second]) => ({ ids: first, labels: second })));
  }
  return unpacked.get(row);
}

const nameOf = (cluster) => known.clusters[cluster][1];
const classOf = (cluster) => known.clusters[cluster][2];

// What a view shows at a pixel: a number that is the same all over an area of it.
function valueAt({ ids, labels }, view, pixel) {
  if (view === "label") return labels[pixel];
  return view === "classes" ? classOf(ids[pixel]) & NONE : ids[pixel];
}

function wordsAt({ ids, labels }, pixel) {
  const cluster = ids[pixel];
  const words = [`cluster ${cluster}`];
  const name = nameOf(cluster) || known.classes[classOf(cluster)]?.[1];
  if (name) words.push(name);
  if (labels) {
    const label = labels[pixel];
    words.push(label === NONE ? "not labeled" : `labeled ${known.classes[label][1]}`);
  }
  return words.join(" · ");
}

// The color, the words and the share of each value of a view, the largest first.
function entriesOf(pixels, view) {
  const counts = new Map();
  for (let pixel = 0; pixel < pixels.ids.length; pixel += 1) {
    const value = valueAt(pixels, view, pixel);
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const isClass = view === "classes" || view === "label";
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([value, count]) => {
      const [color, name] = (isClass ? known.classes : known.clusters)[value] ?? [];
      const none = view === "label" ? "not labeled" : "no class";
      const words = isClass ? (name ?? none) : [value, name].filter((part) => part !== "").join(" ");
      return { value, color, words, share: count / pixels.ids.length };
    });
}

// Leave only the area of a value bright; of null, everything.
function light(holder, pixels, view, value) {
  const canvas = holder.querySelector("canvas");
  if (canvas.dataset.value === String(value)) return;
  canvas.dataset.value = value;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let pixel = 0; value !== null && pixel < pixels.ids.length; pixel += 1) {
    if (valueAt(pixels, view, pixel) !== value) image.data[4 * pixel + 3] = 150;
  }
  context.putImageData(image, 0, 0);
}

// Tell what is under the pointer. ``subject()`` is the row and the view that a holder shows.
function tellPixels(holder, subject) {
  const svg = holder.querySelector("svg");
  const { width, height } = svg.viewBox.baseVal;
  holder.append(make("canvas", { width, height }));
  const inside = holder.closest("dialog") ?? document.body;
  let where = null;
  const tell = async (event) => {
    const { row, view } = subject();
    const box = svg.getBoundingClientRect();
    const across = Math.floor(((event.clientX - box.left) / box.width) * width);
    const down = Math.floor(((event.clientY - box.top) / box.height) * height);
    if (across < 0 || down < 0 || across >= width || down >= height) return leave();
    where = down * width + across;
    const pixels = await pixelsOf(row);
    if (where === null) return;
    showTip(wordsAt(pixels, where), event.clientX, event.clientY, inside);
    light(holder, pixels, view, valueAt(pixels, view, where));
  };
  const leave = () => {
    where = null;
    hideTip();
    light(holder, null, null, null);
  };
  holder.addEventListener("pointermove", tell);
  holder.addEventListener("pointerdown", tell);
  holder.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
}
