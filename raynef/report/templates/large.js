"use strict";
// Pictures of the gallery, large: by a click or Enter, with keys from one to the next.

const large = document.getElementById("large");
const shown = { row: null, view: null };

for (const row of rows) {
  for (const svg of row.querySelectorAll(".view")) {
    const { view } = svg.dataset;
    const button = make("button", { type: "button", className: "open" });
    button.setAttribute("aria-label", `${svg.getAttribute("aria-label")}, enlarge`);
    if (view !== "segments") button.tabIndex = -1; // one stop for each image; ↑ ↓ shows the others
    svg.replaceWith(button);
    button.append(svg);
    tellPixels(button, () => ({ row, view }));
    button.addEventListener("click", () => {
      hideTip();
      shown.view = view;
      showLarge(row);
      large.showModal();
    });
  }
}

async function showLarge(row, view = shown.view) {
  const views = [...row.querySelectorAll(".view")].map((svg) => svg.dataset.view);
  shown.row = row;
  shown.view = views.includes(view) ? view : "segments";
  const title = row.querySelector("h3");
  large.querySelector("#large-name").textContent = title.firstChild.textContent;
  large.querySelector("#large-facts").textContent = title.querySelector("span").textContent;
  large.querySelector(".views").replaceChildren(
    ...views.map((name) => {
      const button = make("button", { type: "button", textContent: name });
      button.setAttribute("aria-pressed", name === shown.view);
      button.addEventListener("click", () => showLarge(row, name));
      return button;
    }),
  );
  const picture = row.querySelector(`[data-view="${shown.view}"]`).cloneNode(true);
  for (const part of picture.querySelectorAll("[id]")) part.removeAttribute("id");
  const { width, height } = picture.viewBox.baseVal;
  const holder = make("div", { className: "holder" }, picture);
  holder.style.setProperty("--aspect", width / height);
  large.querySelector(".stage").replaceChildren(holder);
  const subject = { row, view: shown.view };
  tellPixels(holder, () => subject);
  const pixels = await pixelsOf(row);
  if (shown.row === row && shown.view === subject.view) listEntries(holder, pixels);
}

function listEntries(holder, pixels) {
  const { view } = shown;
  const buttons = entriesOf(pixels, view).map(({ value, color, words, share }) => {
    const swatch = make("i", { className: color ? "swatch" : "swatch none" });
    if (color) swatch.style.background = `#${color}`;
    const part = make("span", { textContent: `${(100 * share).toFixed(1)} %` });
    const button = make("button", { type: "button" }, swatch, `${words} `, part);
    for (const event of ["focus", "pointerenter", "click"]) {
      button.addEventListener(event, () => light(holder, pixels, view, value));
    }
    for (const event of ["blur", "pointerleave"]) {
      button.addEventListener(event, () => light(holder, pixels, view, null));
    }
    return make("li", {}, button);
  });
  large.querySelector(".keys").replaceChildren(...buttons);
}

function step(images, views) {
  hideTip();
  const all = visibleRows();
  const row = all[all.indexOf(shown.row) + images] ?? shown.row;
  const names = [...row.querySelectorAll(".view")].map((svg) => svg.dataset.view);
  showLarge(row, names[names.indexOf(shown.view) + views] ?? shown.view);
}

large.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (!(event.key in steps)) return;
  event.preventDefault();
  step(...steps[event.key]);
});
large.addEventListener("click", (event) => {
  const { left, right, top, bottom } = large.getBoundingClientRect();
  const outside =
    event.detail && // no key's
    (event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom);
  if (outside || event.target.closest("[data-close]")) large.close();
  else if (event.target.dataset.step) step(Number(event.target.dataset.step), 0);
});
large.addEventListener("close", () => {
  hideTip();
  shown.row.querySelector('.open[tabindex="0"], .open:not([tabindex])')?.focus();
  shown.row.scrollIntoView({ block: "nearest" });
});
