"use strict";
// The values of a chart, which the pointer gets as titles, for keys and for touch.

for (const chart of document.querySelectorAll(".chart")) {
  const columns = [...chart.querySelectorAll(".hit")];
  if (columns.length) readByKeys(chart, columns);
}

function readByKeys(chart, columns) {
  let at = -1;
  chart.setAttribute("tabindex", "0");
  const show = (index) => {
    columns[at]?.classList.remove("at");
    at = Math.max(0, Math.min(index, columns.length - 1));
    columns[at].classList.add("at");
    const { right, top } = columns[at].getBoundingClientRect();
    showTip(columns[at].querySelector("title").textContent, right, top);
  };
  const leave = () => {
    columns[at]?.classList.remove("at");
    hideTip();
  };
  const last = columns.length - 1;
  chart.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(to);
  });
  chart.addEventListener("pointerdown", (event) => {
    const column = columns.indexOf(event.target.closest(".hit"));
    if (event.pointerType !== "mouse" && column >= 0) show(column);
  });
  chart.addEventListener("blur", leave);
}
