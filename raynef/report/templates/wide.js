"use strict";
// Tables and drawings wider than the page say so, and are scrolled by keys too.

for (const wide of document.querySelectorAll(".wide")) {
  const hint = make("p", { className: "hint", textContent: "More to the right: scroll sideways →" });
  wide.before(hint);
  const look = () => {
    const isCut = wide.scrollWidth > wide.clientWidth + 1;
    hint.hidden = !isCut;
    if (isCut) wide.tabIndex = 0;
    else wide.removeAttribute("tabindex");
  };
  new ResizeObserver(look).observe(wide);
  look();
}
