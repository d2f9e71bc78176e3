const root = document.documentElement;
const charts = [...document.querySelectorAll(".chart")];
const boxes = [...document.querySelectorAll(".chips input")];
const theme = document.querySelector("#theme");
const dark = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");

function draw(chart) {
  const { data, layout } = JSON.parse(chart.nextElementSibling.textContent);
  layout.font = { size: 12, family: getComputedStyle(chart.previousElementSibling).fontFamily };
  layout.dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom"; // a finger scrolls the page
  Plotly.newPlot(chart, data, layout, {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [["toImage", "resetScale2d"]],
    toImageButtonOptions: { format: "svg" },
  });
}

// Light and dark, screen and paper

const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

function dress() {
  theme.textContent = isDark() ? "light" : "dark";
  theme.setAttribute("aria-label", `Show in ${theme.textContent} colors`);
  const { color, backgroundColor, borderTopColor } = getComputedStyle(document.body);
  const colors = {
    "font.color": color,
    "hoverlabel.font.color": color,
    "hoverlabel.bgcolor": backgroundColor,
    "hoverlabel.bordercolor": borderTopColor,
  };
  for (const chart of charts) Plotly.relayout(chart, colors);
}

const PRINTED = { autosize: false, width: 460, height: 345 };

function fit() {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  for (const chart of charts) {
    Plotly.relayout(chart, paper.matches ? PRINTED : { autosize: true, width: null, height: null });
    for (const svg of chart.querySelectorAll(".main-svg")) {
      if (paper.matches) svg.setAttribute("viewBox", `0 0 ${PRINTED.width} ${PRINTED.height}`); // grows with the paper
      else svg.removeAttribute("viewBox");
    }
  }
  dress();
}

// Methods on and off

function show() {
  const off = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
  for (const element of document.querySelectorAll("[data-method]")) element.hidden = off.has(element.dataset.method);
  for (const chart of charts) Plotly.restyle(chart, { visible: chart.data.map((trace) => !off.has(trace.meta)) });
}

// Up, then down; what is missing stays last

function sort(head) {
  const value = (row) => row.cells[head.cellIndex].dataset.value;
  const body = head.closest("table").tBodies[0];
  const [there, missing] = [[], []];
  for (const row of body.rows) (value(row) === "" ? missing : there).push(row);
  const isNumber = there.every((row) => !Number.isNaN(Number(value(row))));
  const compare = isNumber
    ? (a, b) => Math.sign(Number(a) - Number(b)) || 0 // two infinities are equal
    : (a, b) => a.localeCompare(b, "en", { numeric: true });
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  body.append(...there.sort((a, b) => sign * compare(value(a), value(b))), ...missing);
}

charts.forEach(draw);
dress();
theme.hidden = document.querySelector(".chips").hidden = false;

theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  dress();
});
dark.addEventListener("change", dress);
paper.addEventListener("change", fit);
for (const box of boxes) box.addEventListener("change", show);
for (const button of document.querySelectorAll("[data-all]")) {
  button.addEventListener("click", () => {
    for (const box of boxes) box.checked = Boolean(button.dataset.all);
    show();
  });
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}
