"use strict";
// All scripts of a page share one scope.

function make(tag, values = {}, ...children) {
  const made = Object.assign(document.createElement(tag), values);
  made.append(...children);
  return made;
}

// Words beside the pointer, or below an element that has the focus.
const tip = make("div", { className: "tip", hidden: true });
tip.setAttribute("role", "status");

function showTip(words, x, y, inside = document.body) {
  if (tip.parentElement !== inside) inside.append(tip);
  tip.textContent = words;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const right = document.documentElement.clientWidth - width - 8;
  tip.style.left = `${Math.max(8, Math.min(x + 14, right))}px`;
  tip.style.top = `${y + 20 + height < innerHeight ? y + 20 : y - height - 12}px`;
}

function hideTip() {
  tip.hidden = true;
}
