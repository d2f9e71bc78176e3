const { curves, looks } = JSON.parse(document.querySelector("#all").textContent);
const table = document.querySelector("#table");
const rows = [...table.tBodies[0].rows];
const box = (row) => row.querySelector("input");
const filter = document.querySelector("#filter");
const group = document.querySelector("#group");
const axes = [...document.querySelectorAll('[name="axis"]')];
const figures = [...document.querySelectorAll("[data-curve]")];

// Rows that have all the words, under a heading for each value of what they are grouped by

function sift() {
  const words = filter.value.toLowerCase().split(/\s+/);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
  for (const body of table.tBodies) {
    const members = [...body.rows].filter((row) => row.dataset.run !== undefined && !row.hidden);
    body.hidden = members.length === 0;
    for (const about of body.querySelectorAll(".group small")) about.textContent = told(members);
  }
  const seen = rows.filter((row) => !row.hidden);
  document.querySelector("#shown").textContent = `${seen.length} of ${rows.length} runs`;
}

function told(members) {
  const count = `${members.length} ${members.length === 1 ? "run" : "runs"}`;
  const gaps = members.map((row) => curves[row.dataset.run].end).filter((gap) => gap !== null);
  gaps.sort((a, b) => a - b);
  const middle = (gaps[Math.floor((gaps.length - 1) / 2)] + gaps[Math.ceil((gaps.length - 1) / 2)]) / 2;
  return gaps.length ? `${count}, median gap ${(100 * middle).toFixed(3)}\u00a0%` : count;
}

function heading(name, value) {
  const row = document.createElement("tr");
  const cell = document.createElement("th");
  row.className = "group";
  cell.colSpan = table.tHead.rows[0].cells.length;
  cell.scope = "rowgroup";
  cell.append(`${name} = ${value || "—"}`, html("small", "", ""));
  row.append(cell);
  return row;
}

function arrange() {
  const groups = new Map();
  const present = [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => row.dataset.run !== undefined);
  for (const row of present) {
    const value = group.value === "" ? "" : JSON.parse(row.dataset.choices)[group.value];
    groups.set(value, [...(groups.get(value) ?? []), row]);
  }
  const values = [...groups.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const bodies = values.map((value) => {
    const body = document.createElement("tbody");
    if (group.value !== "") body.append(heading(group.value, value));
    body.append(...groups.get(value));
    return body;
  });
  for (const body of [...table.tBodies]) body.remove();
  table.append(...bodies);
  sift();
}

// Curves of the rows that are chosen and seen

function draw() {
  const axis = axes.find((axis) => axis.checked).value;
  const chosen = rows.filter((row) => box(row).checked && !row.hidden);
  const look = (i) => ({
    color: looks.colors[i % looks.colors.length],
    dash: looks.dashes[Math.floor(i / looks.colors.length) % looks.dashes.length],
  });
  for (const row of rows) row.classList.toggle("drawn-as", chosen.includes(row));
  chosen.forEach((row, i) => row.style.setProperty("--as", look(i).color));
  for (const figure of figures) {
    const lines = chosen.map((row, i) => {
      const run = curves[row.dataset.run];
      return { name: row.dataset.run, ...look(i), x: run.x, y: run[figure.dataset.curve] };
    });
    const spec = { x: { steps: "steps", seconds: "seconds" }, y: { log: true, percent: Boolean(figure.dataset.percent) }, lines };
    plot(figure, spec, axis);
  }
}

for (const [i, row] of rows.entries()) {
  box(row).hidden = false;
  box(row).checked = i < looks.first;
  box(row).addEventListener("change", draw);
}
document.querySelector(".tools").hidden = document.querySelector(".switch").hidden = false;
document.querySelector(".tools").addEventListener("submit", (event) => event.preventDefault());
filter.addEventListener("input", () => {
  sift();
  draw();
});
group.addEventListener("change", arrange);
for (const axis of axes) axis.addEventListener("change", draw);
addEventListener("resize", draw);
sift();
draw();
