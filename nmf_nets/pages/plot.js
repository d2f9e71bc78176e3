// A chart of lines: {x: {name: title}, y: {log, percent, whole}, lines: [{name, color, dash, x: {name: […]}, y: […]}],
// levels: [{name, color, value}]}, drawn as SVG, which takes the colors of the page and fits any paper.

const [WIDE, HIGH] = [560, 300];
const area = { left: 64, right: WIDE - 14, top: 10, bottom: HIGH - 42 };
const LEAST = 1e-6; // of a gap; what is smaller is rounding
const DASHES = { solid: "", dash: "7 4", dot: "2 3", dashdot: "8 4 2 4" };

function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function html(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function written(value, percent = false) {
  if (percent) return value <= LEAST ? `<${written(100 * LEAST)}\u00a0%` : `${written(Number((100 * value).toPrecision(3)))}\u00a0%`;
  const size = Math.abs(value);
  if (size !== 0 && (size < 9.9e-5 || size >= 1e7)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return value.toLocaleString("en", { maximumSignificantDigits: 6 });
}

// Of an axis, where a million is 1M
const tick = (value, percent) =>
  !percent && value >= 1e5 ? value.toLocaleString("en", { notation: "compact" }) : written(value, percent);

function nice(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((step) => step >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function decades(low, high, most) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const factors = last - first <= 1 ? [1, 2, 5] : last - first <= 2 ? [1, 3] : [1];
  const every = Math.ceil((last - first) / most);
  const ticks = [];
  for (let power = first; power <= last; power += every) ticks.push(...factors.map((k) => Number(`${k}e${power}`)));
  return ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
}

// From 0 on, and logarithmic from the first step on: what happens early is seen, and so is where it began.
function along(values) {
  const first = Math.min(...values.filter((value) => value > 0), Infinity);
  const last = Math.max(...values, 0);
  if (!(last > 0)) return { place: () => area.left, ticks: [0] };
  const full = Math.log1p(last / first);
  return {
    place: (value) => area.left + ((area.right - area.left) * Math.log1p(Math.max(value, 0) / first)) / full,
    ticks: [0, ...decades(first, last, 6)],
  };
}

function upwards(values, { log, whole }) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (log) {
    const only = low === high ? [low] : null;
    [low, high] = [low / 1.15, Math.max(high * 1.15, low * 10 ** 0.1)];
    const part = (value) => (Math.log10(value) - Math.log10(low)) / (Math.log10(high) - Math.log10(low));
    let ticks = only ?? decades(low, high, 6);
    if (!only && ticks.length < 2) ticks = nice(low, high, 4);
    return { place: (value) => area.bottom - (area.bottom - area.top) * part(value), ticks };
  }
  [low, high] = [Math.min(low, 0), high > Math.min(low, 0) ? high : 1];
  high += 0.05 * (high - low);
  const part = (value) => (value - low) / (high - low);
  const ticks = nice(low, high, 5).filter((tick) => !whole || Number.isInteger(tick));
  return { place: (value) => area.bottom - (area.bottom - area.top) * part(value), ticks };
}

function plot(figure, spec, axis) {
  const shown = (value) => value !== null && (!spec.y.log || value > 0);
  const lines = spec.lines.map((line) => ({
    ...line,
    points: line.y.map((y, i) => [line.x[axis][i], y]).filter(([x, y]) => x !== null && shown(y)),
  }));
  const levels = (spec.levels ?? []).filter(({ value }) => shown(value));
  const all = lines.flatMap((line) => line.points);
  const drawn = figure.querySelector(".drawn");
  const legend = figure.querySelector(".key");
  const wide = Math.min(drawn.clientWidth || WIDE, WIDE); // on a narrow screen letters keep their size
  area.right = wide - 14;
  drawn.replaceChildren();
  legend.replaceChildren();
  if (all.length === 0) {
    drawn.append(html("p", "note", "Nothing was measured."));
    return;
  }
  const x = along(all.map(([value]) => value));
  const y = upwards([...all.map(([, value]) => value), ...levels.map(({ value }) => value)], spec.y);
  const picture = svg("svg", { viewBox: `0 0 ${wide} ${HIGH}`, "aria-hidden": true });
  for (const value of y.ticks) {
    picture.append(svg("line", { class: "grid", x1: area.left, x2: area.right, y1: y.place(value), y2: y.place(value) }));
    picture.append(svg("text", { class: "ytick", x: area.left - 7, y: y.place(value) + 4 }, tick(value, spec.y.percent)));
  }
  let free = -Infinity;
  for (const value of x.ticks) {
    const at = x.place(value);
    if (at < free) continue;
    free = at + 44;
    picture.append(svg("line", { class: "grid", x1: at, x2: at, y1: area.top, y2: area.bottom }));
    picture.append(svg("text", { class: "xtick", x: at, y: area.bottom + 16 }, tick(value)));
  }
  picture.append(svg("text", { class: "xtick", x: (area.left + area.right) / 2, y: HIGH - 6 }, spec.x[axis]));
  for (const { value, color } of levels) {
    const at = { x1: area.left, x2: area.right, y1: y.place(value), y2: y.place(value) };
    picture.append(svg("line", { class: "level", stroke: color, "stroke-dasharray": DASHES.dot, ...at }));
  }
  for (const { points, color, dash } of lines) {
    if (points.length === 0) continue;
    const places = points.map(([a, b]) => `${x.place(a).toFixed(1)} ${y.place(b).toFixed(1)}`);
    picture.append(svg("path", { class: "line", stroke: color, "stroke-dasharray": DASHES[dash], d: `M${places.join("L")}` }));
    const [end_x, end_y] = places.at(-1).split(" ");
    picture.append(svg("circle", { class: "end", fill: color, cx: end_x, cy: end_y, r: 3 }));
  }
  const rule = svg("line", { class: "rule", y1: area.top, y2: area.bottom, visibility: "hidden" });
  picture.append(rule);
  drawn.append(picture);

  const entries = [...lines.filter((line) => line.points.length), ...levels].map((of) => {
    const entry = document.createElement("li");
    const swatch = svg("svg", { class: "swatch", viewBox: "0 0 26 8", "aria-hidden": true });
    const dashes = DASHES[of.points ? of.dash : "dot"];
    swatch.append(svg("line", { x1: 1, y1: 4, x2: 25, y2: 4, stroke: of.color, "stroke-dasharray": dashes }));
    entry.append(swatch, `${of.name} `, html("b", "", written(of.points?.at(-1)[1] ?? of.value, spec.y.percent)));
    legend.append(entry);
    return [of, entry.lastChild];
  });

  // The values at a place, by mouse, finger or arrow keys; at the end without
  const places = [...new Set(all.map(([value]) => value))].sort((a, b) => a - b);
  let at = null;
  function read() {
    rule.setAttribute("visibility", at === null ? "hidden" : "visible");
    if (at !== null) for (const end of ["x1", "x2"]) rule.setAttribute(end, x.place(places[at]));
    for (const [{ points }, value] of entries) {
      if (!points) continue;
      const before = at === null ? points : points.filter(([place]) => place <= places[at]);
      value.textContent = before.length ? written(before.at(-1)[1], spec.y.percent) : "—";
    }
    figure.querySelector(".at").textContent = at === null ? "" : `at ${written(places[at])} ${spec.x[axis]}`;
  }
  drawn.onpointermove = ({ clientX }) => {
    const { left, width } = picture.getBoundingClientRect();
    const there = ((clientX - left) * wide) / width;
    const distances = places.map((value) => Math.abs(x.place(value) - there));
    at = distances.indexOf(Math.min(...distances));
    read();
  };
  drawn.onpointerleave = drawn.onblur = () => {
    at = null;
    read();
  };
  drawn.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    at = Math.min(Math.max((at ?? places.length - 1) + by, 0), places.length - 1);
    read();
  };
}

// figures: that hold the spec of their chart; what draws them anew, along another axis
function plots(figures) {
  const specs = new Map(figures.map((figure) => [figure, JSON.parse(figure.querySelector("script").textContent)]));
  let now;
  const draw = (axis) => {
    now = axis;
    for (const [figure, spec] of specs) plot(figure, spec, axis);
  };
  addEventListener("resize", () => draw(now));
  return draw;
}
