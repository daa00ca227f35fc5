
function keyOf(row, column) {
  const cell = row.cells[column];
  return "number" in cell.dataset ? parseFloat(cell.dataset.number) : cell.textContent.trim();
}

for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  makeSortable([...table.tHead.rows[0].cells], (column, sign) => {
    body.append(...sorted([...body.rows], (row) => keyOf(row, column), sign));
  });
}
