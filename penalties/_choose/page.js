
"use strict";

// Lists in `data` go by the places of the slider, from weak to strong; data.index says which point of the
// path is at each place.
const data = JSON.parse(byId("data").textContent);
const slider = byId("strength");
const last = data.factor.length - 1;
const total = sum(data.leaves.map((leaf) => leaf.size));
const totalZeros = data.factor.map((_, at) => sum(data.leaves.map((leaf) => leaf.zeros[at])));
const places = new Map(data.index.map((index, at) => [index, at]));
// One scale for the whole path: what a stronger penalty shrinks is seen to shrink.
const largestFeature = (data.features?.sizes ?? []).flat().reduce((one, other) => Math.max(one, other), 0);
const rules = { min: "best score", one_se: "strongest within one standard error" };

function byId(id) {
  return document.getElementById(id);
}

function sum(numbers) {
  return numbers.reduce((one, other) => one + other, 0);
}

function number(x) {
  if (x === null) return "not finite";
  const rounded = Number(x.toPrecision(4));
  return rounded && Math.abs(rounded) < 1e-4 ? rounded.toExponential() : String(rounded);
}

function whole(x) {
  return x.toLocaleString("en-US");
}

function share(zeros, size) {
  return size ? zeros / size : 0;
}

/** Of zeros that are exact, 100.0 % are all of them and 0.0 % is none. */
function percent(zeros, size) {
  const rounded = (100 * share(zeros, size)).toFixed(1);
  if (rounded === "100.0" && zeros < size) return "> 99.9 %";
  if (rounded === "0.0" && zeros > 0) return "< 0.1 %";
  return `${rounded} %`;
}

function scoreAt(at) {
  const [score, error] = [data.score[at], data.error?.[at] ?? null];
  return number(score) + (score === null || error === null ? "" : ` ± ${number(error)}`);
}

function numbersAt(at) {
  const numbers = [
    ["Point", `path[${data.index[at]}]`],
    ["Factor", number(data.factor[at])],
    ["Exact zeros", `${percent(totalZeros[at], total)}, ${whole(totalZeros[at])} of ${whole(total)}`],
  ];
  if (data.score) numbers.push(["Score", scoreAt(at)]);
  if (data.loss) numbers.push(["Loss", number(data.loss[at])]);
  if (data.optimality) numbers.push(["Optimality", number(data.optimality[at])]);
  return numbers;
}

function showNumbers(at) {
  const items = numbersAt(at).map(([name, value]) => {
    const item = document.createElement("div");
    for (const [tag, text] of [["dt", name], ["dd", value]]) {
      item.appendChild(document.createElement(tag)).textContent = text;
    }
    return item;
  });
  byId("numbers").replaceChildren(...items);
  byId("failed").hidden = data.finite[at];
  const spoken = [`factor ${number(data.factor[at])}`, `${percent(totalZeros[at], total)} zeros`];
  if (!data.finite[at]) spoken.push("not finite");
  else if (data.score) spoken.push(`score ${scoreAt(at)}`);
  slider.setAttribute("aria-valuetext", spoken.join(", "));
}

function row(name, filled, text) {
  const made = byId("row").content.firstElementChild.cloneNode(true);
  made.querySelector("bdi").textContent = name;
  made.querySelector("span").textContent = text;
  made.querySelector(".bar").style.backgroundSize = `${100 * filled}% 100%`;
  return made;
}

function showZeros(at) {
  function zerosOf(name, zeros, size) {
    const counts = `${whole(zeros)} of ${whole(size)}`;
    return row(name, share(zeros, size), `${counts}, ${percent(zeros, size)}`);
  }
  const all = zerosOf("all penalized weights", totalZeros[at], total);
  all.className = "total";
  const leaves = data.leaves.map((leaf) => zerosOf(leaf.path || "(the only leaf)", leaf.zeros[at], leaf.size));
  byId("zeros").replaceChildren(all, ...leaves);
}

function prepareFeatures() {
  const { leaf, count, names } = data.features;
  byId("features").hidden = false;
  byId("features-leaf").textContent = leaf || "the only leaf";
  if (names.length < count) {
    byId("features-left-out").textContent =
      `Bars are of the ${whole(names.length)} features that die last, of ${whole(count)}.`;
  }
}

function showFeatures(at) {
  const { count, names, alive, sizes } = data.features;
  const known = sizes[at] !== null;
  const rows = (sizes[at] ?? [])
    .map((size, i) => ({ size, name: names[i] }))
    .filter(({ size }) => size > 0)
    .sort((one, other) => other.size - one.size)
    .map(({ size, name }) => row(name, size / largestFeature, number(size)));
  byId("features-rows").replaceChildren(...rows);
  byId("features-alive").textContent = known
    ? `${whole(alive[at])} of ${whole(count)} are alive; bars are the norms of their weights.`
    : "Not known at a point that is not finite.";
}

// The plot is in [left, right] × [top, bottom] of an svg of this width.
const frame = { width: 420, left: 50, right: 410, top: 8, bottom: 154 };

function draw(svg, tag, attributes, text = "") {
  const element = svg.appendChild(document.createElementNS(svg.namespaceURI, tag));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

function xAt(at) {
  return last ? frame.left + (at / last) * (frame.right - frame.left) : (frame.left + frame.right) / 2;
}

function ticksOf(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((multiple) => multiple * power >= rough) ?? 10);
  const first = Math.ceil(low / step);
  return [0, 1, 2, 3, 4].map((i) => (first + i) * step).filter((tick) => tick <= high);
}

function drawAxes(svg, y, ticks) {
  for (const tick of ticks) {
    draw(svg, "line", { x1: frame.left, x2: frame.right, y1: y(tick), y2: y(tick) });
    draw(svg, "text", { x: frame.left - 6, y: y(tick) + 4, "text-anchor": "end" }, number(tick));
  }
  const shown = new Set([0, 1, 2, 3, 4].map((i) => Math.round((i * last) / 4)));
  for (const at of shown) {
    const anchor = at === last && last ? "end" : "middle";
    const label = number(Number(data.factor[at].toPrecision(2)));
    draw(svg, "text", { x: xAt(at), y: frame.bottom + 17, "text-anchor": anchor }, label);
  }
}

function drawCross(svg, x) {
  const [up, down] = [frame.bottom - 9, frame.bottom - 1];
  const d = `M${x - 4} ${up}L${x + 4} ${down}M${x - 4} ${down}L${x + 4} ${up}`;
  draw(draw(svg, "path", { class: "not-finite", d }), "title", {}, "not finite");
}

/** A curve of values, where null or not finite a cross; returns the function that moves its mark. */
function curve(title, given, errors, bounds) {
  const figure = byId("curve").content.firstElementChild.cloneNode(true);
  const svg = figure.querySelector("svg");
  const values = given.map((value, at) => (data.finite[at] ? value : null));
  const error = (at) => errors?.[at] ?? 0;
  const ends = values.flatMap((value, at) => (value === null ? [] : [value - error(at), value + error(at)]));
  let [low, high] = bounds ?? (ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 1]);
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const y = (value) => frame.bottom - ((value - low) / (high - low)) * (frame.bottom - frame.top);

  figure.querySelector("figcaption").textContent = title;
  svg.setAttribute("aria-label", `${title} over the strength, from ${number(low)} to ${number(high)}`);
  drawAxes(svg, y, ticksOf(low, high));
  const now = draw(svg, "line", { class: "now", y1: frame.top, y2: frame.bottom });
  for (const [rule, index] of Object.entries(data.chosen)) {
    const x = xAt(places.get(index));
    draw(svg, "line", { class: rule, x1: x, x2: x, y1: frame.top, y2: frame.bottom });
  }
  const line = [];
  values.forEach((value, at) => {
    const x = xAt(at);
    if (value === null) {
      drawCross(svg, x);
      return;
    }
    draw(svg, "line", { class: "error", x1: x, x2: x, y1: y(value - error(at)), y2: y(value + error(at)) });
    draw(svg, "circle", { cx: x, cy: y(value), r: Math.min(2.5, 100 / (last + 1)) });
    line.push(`${at && values[at - 1] !== null ? "L" : "M"}${x} ${y(value)}`);
  });
  draw(svg, "path", { class: "drawn", d: line.join("") });
  const mark = draw(svg, "circle", { class: "now", r: 5 });
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * frame.width;
    const at = Math.round(((x - frame.left) / (frame.right - frame.left)) * last);
    show(Math.min(Math.max(at, 0), last));
  });
  byId("curves").append(figure);

  return function move(at) {
    for (const end of ["x1", "x2"]) now.setAttribute(end, xAt(at));
    mark.style.display = values[at] === null ? "none" : "";
    mark.setAttribute("cx", xAt(at));
    mark.setAttribute("cy", values[at] === null ? 0 : y(values[at]));
  };
}

function drawCurves() {
  const moves = [];
  if (data.score) moves.push(curve("Score, higher is better", data.score, data.error));
  if (data.loss) moves.push(curve("Loss", data.loss, null));
  const shares = totalZeros.map((zeros) => 100 * share(zeros, total));
  moves.push(curve("Exact zeros, %", shares, null, [0, 100]));
  return moves;
}

function listChosen() {
  for (const [rule, index] of Object.entries(data.chosen)) {
    const link = byId("chosen").appendChild(document.createElement("a"));
    link.href = `#${index}`;
    link.className = rule;
    link.textContent = `${rules[rule]}: factor ${number(data.factor[places.get(index)])}`;
  }
}

/** The place that the address names, as #3 names path[3]; undefined if it names none. */
function linked() {
  return /^#\d+$/.test(location.hash) ? places.get(Number(location.hash.slice(1))) : undefined;
}

function show(at) {
  slider.value = at;
  showNumbers(at);
  showZeros(at);
  if (data.features) showFeatures(at);
  for (const move of moves) move(at);
  try {
    history.replaceState(null, "", `#${data.index[at]}`);
  } catch {
    // A page within another page may have no address of its own; then there is nothing to keep.
  }
}

slider.max = last;
listChosen();
if (data.features) prepareFeatures();
const moves = drawCurves();
slider.addEventListener("input", () => show(Number(slider.value)));
addEventListener("hashchange", () => show(linked() ?? Number(slider.value)));
show(linked() ?? places.get(data.chosen.min) ?? 0);
