"use strict";

const root = document.documentElement;
const charts = [...document.querySelectorAll(".chart")];
const boxes = [...document.querySelectorAll(".chips input")];
const dark = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");

// Charts and their colors

function colors() {
  const { color, backgroundColor, borderTopColor, fontFamily } = getComputedStyle(document.body);
  return {
    "font.color": color,
    "hoverlabel.font.color": color,
    "hoverlabel.bgcolor": backgroundColor,
    "hoverlabel.bordercolor": borderTopColor,
  };
}

function draw(chart) {
  const { data, layout } = JSON.parse(chart.nextElementSibling.textContent);
  layout.font = { size: 12, family: getComputedStyle(chart.previousElementSibling).fontFamily };
  layout.dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom"; // a finger scrolls the page
  return Plotly.newPlot(chart, data, layout, {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [["toImage", "resetScale2d"]],
    toImageButtonOptions: { format: "svg" },
  });
}

function paint() {
  for (const chart of charts) Plotly.relayout(chart, colors());
}

// Methods on and off

function show() {
  const off = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
  for (const element of document.querySelectorAll("[data-method]")) element.hidden = off.has(element.dataset.method);
  for (const chart of charts) Plotly.restyle(chart, { visible: chart.data.map((trace) => !off.has(trace.meta)) });
}

// Sorting: missing values stay last, up or down

function sort(head) {
  const body = head.closest("table").tBodies[0];
  const value = (row) => row.cells[head.cellIndex].dataset.value;
  const rows = [...body.rows];
  const there = rows.filter((row) => value(row) !== "");
  const isNumber = there.every((row) => !Number.isNaN(Number(value(row))));
  const compare = isNumber
    ? (a, b) => (Number(a) < Number(b) ? -1 : Number(a) > Number(b) ? 1 : 0)
    : (a, b) => a.localeCompare(b, undefined, { numeric: true });
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  there.sort((a, b) => sign * compare(value(a), value(b)));
  body.append(...there, ...rows.filter((row) => value(row) === ""));
}

// Light and dark

const theme = document.querySelector("#theme");
const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

function dress() {
  theme.textContent = isDark() ? "light" : "dark";
  theme.setAttribute("aria-label", `Show in ${theme.textContent} colors`);
  paint();
}

// Printing: on white, at the width of the paper, nothing folded

function print() {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const size = paper.matches ? { autosize: false, width: 336, height: 250 } : { autosize: true, width: null, height: null };
  for (const chart of charts) Plotly.relayout(chart, size);
  paint();
}

charts.forEach(draw);
theme.hidden = document.querySelector(".chips").hidden = false;
dress();
theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; dress(); });
dark.addEventListener("change", dress);
paper.addEventListener("change", print);
for (const box of boxes) box.addEventListener("change", show);
for (const button of document.querySelectorAll("[data-all]")) {
  button.addEventListener("click", () => { for (const box of boxes) box.checked = Boolean(button.dataset.all); show(); });
}
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => sort(button.closest("th")));
