const root = document.documentElement;
const theme = document.querySelector("#theme");
const dark = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");

// Light and dark, screen and paper

const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

function dress() {
  theme.textContent = isDark() ? "light" : "dark";
  theme.setAttribute("aria-label", `Show in ${theme.textContent} colors`);
}

theme.hidden = false;
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  dress();
});
dark.addEventListener("change", dress);
paper.addEventListener("change", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
dress();

// Up, then down; what is missing stays last; groups and their headings stay where they are

function sort(head) {
  const value = (row) => row.cells[head.cellIndex].dataset.value;
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  const bodies = [...head.closest("table").tBodies];
  const rows = (body) => [...body.rows].filter((row) => !row.classList.contains("group"));
  const isThere = (row) => value(row) !== "";
  const isNumber = bodies.flatMap(rows).filter(isThere).every((row) => !Number.isNaN(Number(value(row))));
  const compare = isNumber
    ? (a, b) => Math.sign(Number(a) - Number(b)) || 0 // two infinities are equal
    : (a, b) => a.localeCompare(b, "en", { numeric: true });
  for (const body of bodies) {
    const there = rows(body).filter(isThere).sort((a, b) => sign * compare(value(a), value(b)));
    body.append(...there, ...rows(body).filter((row) => !isThere(row)));
  }
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}
