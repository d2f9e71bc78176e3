const draw = plots([...document.querySelectorAll(".plots figure")]);
const axes = [...document.querySelectorAll('[name="axis"]')];

document.querySelector(".switch").hidden = axes.length < 2;
for (const axis of axes) axis.addEventListener("change", () => draw(axis.value));
if (axes.length) draw(axes.find((axis) => axis.checked).value);
