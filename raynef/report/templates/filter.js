"use strict";
// The gallery's rows by name, cluster and error.

const rows = [...document.querySelectorAll("#rows article")];
const filters = document.querySelector(".filters");
const visibleRows = () => [...document.querySelectorAll("#rows article:not([hidden])")];

function filterRows() {
  const { name = "", cluster, order = "" } = Object.fromEntries(new FormData(filters));
  for (const row of rows) {
    const hasName = !name || JSON.parse(row.dataset.names).includes(name);
    row.hidden = !hasName || (cluster && !row.dataset.clusters.split(" ").includes(cluster));
  }
  const error = (row) => Number(row.dataset[order] ?? 2); // rows without a label are the last
  const sorted = order ? [...rows].sort((a, b) => error(a) - error(b)) : rows;
  document.getElementById("rows").append(...sorted);
  const count = visibleRows().length;
  filters.querySelector("output").textContent = `${count} of ${rows.length} images`;
}

// Of "" all rows.
function showCluster(cluster) {
  filters.reset();
  filters.elements.cluster.value = cluster;
  filterRows();
}

filters.hidden = false;
filters.addEventListener("change", filterRows);
filters.addEventListener("submit", (event) => event.preventDefault());
filters.querySelector("button").addEventListener("click", () => showCluster(""));
filterRows();

// A cluster of the tree, or of a card, shows the images that have it.
for (const link of document.querySelectorAll("a[data-cluster]")) {
  const { options } = filters.elements.cluster;
  if (![...options].some((option) => option.value === link.dataset.cluster)) {
    link.title = "In no image of the gallery";
    continue;
  }
  link.addEventListener("click", () => showCluster(link.dataset.cluster));
}
