"use strict";
// The table of the least certain rows: sorted by its headers, searched by the words in the box.
(() => {
  const table = document.getElementById("rows");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  const box = document.getElementById("search");
  const found = document.getElementById("found");
  const order = new Intl.Collator(undefined, { numeric: true });

  const key = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? order.compare(a, b) : x - y;
  };

  const sort = (column) => {
    const descending = headers[column].getAttribute("aria-sort") === "ascending";
    const sign = descending ? -1 : 1;
    rows.sort((a, b) => sign * compare(key(a, column), key(b, column)));
    body.append(...rows);
    headers.forEach((header) => header.removeAttribute("aria-sort"));
    headers[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
  };

  const search = () => {
    const words = box.value.trim().toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    found.textContent = `${shown} of ${rows.length} rows`;
  };

  headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => sort(column)));
  box.addEventListener("input", search);
  search();
})();
