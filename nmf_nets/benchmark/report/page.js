const charts = [...document.querySelectorAll(".chart")];
const boxes = [...document.querySelectorAll(".chips input")];

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

// Charts in the colors of the page, and in a size of their own on paper

function color() {
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
  for (const chart of charts) {
    Plotly.relayout(chart, paper.matches ? PRINTED : { autosize: true, width: null, height: null });
    for (const svg of chart.querySelectorAll(".main-svg")) {
      if (paper.matches) svg.setAttribute("viewBox", `0 0 ${PRINTED.width} ${PRINTED.height}`); // grows with the paper
      else svg.removeAttribute("viewBox");
    }
  }
  color();
}

// Methods on and off

function show() {
  const off = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
  for (const element of document.querySelectorAll("[data-method]")) element.hidden = off.has(element.dataset.method);
  for (const chart of charts) Plotly.restyle(chart, { visible: chart.data.map((trace) => !off.has(trace.meta)) });
}

charts.forEach(draw);
color();
document.querySelector(".chips").hidden = false;

theme.addEventListener("click", color);
dark.addEventListener("change", color);
paper.addEventListener("change", fit);
for (const box of boxes) box.addEventListener("change", show);
for (const button of document.querySelectorAll("[data-all]")) {
  button.addEventListener("click", () => {
    for (const box of boxes) box.checked = Boolean(button.dataset.all);
    show();
  });
}
