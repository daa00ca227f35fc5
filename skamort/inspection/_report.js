"use strict";

// A header sorts its table: ascending, then descending. What has no value stays at the end.

function keyOf(row, column) {
  const cell = row.cells[column];
  return "number" in cell.dataset ? parseFloat(cell.dataset.number) : cell.textContent.trim();
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortRows(body, column, sign) {
  const missing = (row) => Number.isNaN(keyOf(row, column));
  const rows = [...body.rows];
  const known = rows.filter((row) => !missing(row));
  known.sort((a, b) => sign * compare(keyOf(a, column), keyOf(b, column)));
  body.append(...known, ...rows.filter(missing));
}

for (const table of document.querySelectorAll("table")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const order = header.ariaSort === "ascending" ? "descending" : "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", order);
      sortRows(table.tBodies[0], column, order === "ascending" ? 1 : -1);
    });
  });
}
