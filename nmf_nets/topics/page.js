// {words: [{word, count, topics: [part, …]}], topics: [{topic, name, size, coherence, at, words: [[word, log φ, log φ/p], …],
// documents: [{name, label, part, length, text, words}]}], shown, weight, steps, colors}, topics as they are ordered

const spec = JSON.parse(document.querySelector("#spec").textContent);
const [SIDE, EDGE] = [520, 56];
const find = (name) => document.querySelector(name);
const [slider, list, shelf] = [find("#weight"), find("#words"), find("#documents")];
const percents = (part) => `${written(Number((100 * part).toPrecision(3)))}\u00a0%`;
let [chosen, word] = [0, null];

root.style.setProperty("--all", spec.colors[0]);
root.style.setProperty("--own", spec.colors[1]);
find("#explorer").hidden = false;

// The map

const ranges = [0, 1].map((axis) => spec.topics.map(({ at }) => at[axis])).map((values) => [Math.min(...values), Math.max(...values)]);
const scale = (SIDE - 2 * EDGE) / Math.max(...ranges.map(([low, high]) => high - low), 1e-9);
const left = (x) => SIDE / 2 + scale * (x - (ranges[0][0] + ranges[0][1]) / 2);
const down = (y) => SIDE / 2 - scale * (y - (ranges[1][0] + ranges[1][1]) / 2);
const radius = (part) => Math.max(2, SIDE * 0.18 * Math.sqrt(part));
const picture = svg("svg", { viewBox: `0 0 ${SIDE} ${SIDE}` });
picture.append(svg("line", { class: "axis", x1: 0, x2: SIDE, y1: down(0), y2: down(0) }));
picture.append(svg("line", { class: "axis", y1: 0, y2: SIDE, x1: left(0), x2: left(0) }));
const numbers = svg("g", { class: "numbers", "aria-hidden": true });
const marks = spec.topics.map(({ topic, name, size, at }, place) => {
  const mark = svg("g", { role: "button", tabindex: -1, "aria-label": `topic ${topic}, ${percents(size)}: ${name}` });
  const [cx, cy] = [left(at[0]), down(at[1])];
  mark.append(svg("title", {}, `${topic}: ${name}`), svg("circle", { cx, cy }));
  numbers.append(svg("text", { x: cx, y: cy + 4 }, topic));
  mark.addEventListener("click", () => choose(place));
  mark.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Enter: 0, " ": 0 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    choose(chosen + by);
    marks[chosen].focus();
  });
  picture.append(mark);
  return mark;
});
picture.append(numbers);
find(".field").append(picture);

function resize() {
  const parts = word === null ? spec.topics.map(({ size }) => size) : spec.words[word].topics;
  for (const [place, mark] of marks.entries()) mark.querySelector("circle").setAttribute("r", radius(parts[place]).toFixed(1));
  find("#of-word").textContent = word === null ? "" : `by “${spec.words[word].word}”`;
}

// A topic

function choose(place) {
  chosen = (place + marks.length) % marks.length;
  const { topic, name, size, coherence, documents } = spec.topics[chosen];
  for (const [other, mark] of marks.entries()) {
    mark.setAttribute("aria-pressed", other === chosen);
    mark.setAttribute("tabindex", other === chosen ? 0 : -1);
  }
  find("#heading").textContent = `Topic ${topic}: ${name || "no words"}`;
  find("#facts").textContent = `${percents(size)} of all words · coherence ${coherence.toFixed(2)}`;
  shelf.replaceChildren(...documents.map(leaf));
  if (documents.length === 0) shelf.append(html("p", "note", "No document has a part of it."));
  say();
}

function leaf({ name, label, part, length, text, words }) {
  const made = html("details", "", "");
  const facts = [percents(part), `${written(length)} words`, ...(label === null ? [] : [label])].join(" · ");
  const head = html("summary", "", `${name} `);
  head.append(html("span", "", facts));
  made.append(head, html("p", "", text ?? words.join(" ")));
  return made;
}

function say() {
  const weight = Number(slider.value);
  const relevance = ([, phi, lift]) => weight * phi + (1 - weight) * lift;
  const top = [...spec.topics[chosen].words].sort((a, b) => relevance(b) - relevance(a)).slice(0, spec.shown);
  const most = Math.max(...top.map(([place]) => spec.words[place].count), 1e-9);
  find(".steps output").textContent = weight.toFixed(2);
  list.replaceChildren(
    ...top.map(([place]) => {
      const { word: name, count, topics } = spec.words[place];
      const own = count * topics[chosen];
      const button = html("button", "", "");
      const bar = html("span", "bar", "");
      for (const [kind, value] of [["all", count], ["own", own]]) {
        const part = html("i", kind, "");
        part.style.width = `${(100 * value) / most}%`;
        bar.append(part);
      }
      button.type = "button";
      button.title = `${name}: ${written(Math.round(own))} of ${written(count)}`;
      button.setAttribute("aria-label", button.title);
      button.setAttribute("aria-pressed", place === word);
      button.append(html("span", "", name), bar);
      button.addEventListener("click", () => {
        word = word === place ? null : place;
        for (const other of list.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button && word !== null);
        resize();
      });
      const item = html("li", "", "");
      item.append(button);
      return item;
    }),
  );
}

slider.step = 1 / spec.steps;
slider.value = spec.weight;
slider.addEventListener("input", say);
find("#before").addEventListener("click", () => choose(chosen - 1));
find("#after").addEventListener("click", () => choose(chosen + 1));
choose(0);
resize();
