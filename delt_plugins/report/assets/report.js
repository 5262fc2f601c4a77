"use strict";

// Tables sort by a click or a key press on a heading; what has no value stays at the end either way.
const valueOf = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();

function sort(table, heading) {
  const column = heading.cellIndex;
  const rows = [...table.tBodies[0].rows];
  const numbers = rows.every((row) => valueOf(row, column) === "" || !Number.isNaN(Number(valueOf(row, column))));
  const before = heading.getAttribute("aria-sort");
  const down = before === "none" ? numbers : before === "ascending";
  rows.sort((one, other) => {
    const [a, b] = [valueOf(one, column), valueOf(other, column)];
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = numbers ? a - b : a.localeCompare(b);
    return down ? -order : order;
  });
  for (const each of table.querySelectorAll("th[aria-sort]")) each.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sort(table, heading));
  }
}

// Images enlarge in a dialog, which Escape closes and which gives the focus back.
const dialog = document.querySelector("dialog");
let place = null;

function show(tile) {
  const image = tile.querySelector("img");
  const large = dialog.querySelector("img");
  place = tile;
  large.src = image.src;
  large.alt = image.alt;
  dialog.querySelector("p").textContent = image.alt;
  if (!dialog.open) dialog.showModal();
}

// A group of tiles is one stop of the Tab key; arrows go from tile to tile in it, enlarged or not.
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function neighbour(tile, [down, right]) {
  const lists = [...tile.closest(".group").querySelectorAll(".tiles")];
  const list = tile.closest(".tiles");
  const column = [...list.querySelectorAll(".tile")].indexOf(tile);
  const tiles = lists[lists.indexOf(list) + down]?.querySelectorAll(".tile");
  return tiles?.[down ? Math.min(column, tiles.length - 1) : column + right];
}

function stopAt(chosen) {
  for (const tile of chosen.closest(".group").querySelectorAll(".tile")) tile.tabIndex = tile === chosen ? 0 : -1;
}

for (const group of document.querySelectorAll(".group")) {
  stopAt(group.querySelector(".tile"));
  group.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    if (tile) show(tile);
  });
  group.addEventListener("keydown", (event) => {
    const next = STEPS[event.key] && neighbour(event.target, STEPS[event.key]);
    if (next) { event.preventDefault(); stopAt(next); next.focus(); }
  });
}

dialog.addEventListener("keydown", (event) => {
  const next = STEPS[event.key] && neighbour(place, STEPS[event.key]);
  if (next) { event.preventDefault(); show(next); }
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => { stopAt(place); place.focus(); });

addEventListener("beforeprint", () => document.querySelectorAll("section > details").forEach((each) => { each.open = true; }));
