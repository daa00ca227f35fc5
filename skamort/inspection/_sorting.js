"use strict";

// A header sorts: ascending, then descending. What has no value stays at the end.

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sorted(items, keyOf, sign) {
  const keys = new Map(items.map((item) => [item, keyOf(item)]));
  const missing = (item) => Number.isNaN(keys.get(item));
  const known = items.filter((item) => !missing(item));
  known.sort((a, b) => sign * compare(keys.get(a), keys.get(b)));
  return [...known, ...items.filter(missing)];
}

function makeSortable(headers, onSort) {
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const order = header.ariaSort === "ascending" ? "descending" : "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", order);
      onSort(column, order === "ascending" ? 1 : -1);
    });
  });
}
