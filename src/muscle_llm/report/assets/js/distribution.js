// How a score changed: one bar per interval of D, what fell left of zero and what rose right of it.

const LEAST = 1e-12; // the least that is a change
const beyond = (edges) => edges.at(-1) + 1e-6; // the last interval holds its upper edge too

class Distribution {
  constructor(place, score, data) {
    this.place = place;
    this.score = score;
    this.data = data; // {edges, counts, unchanged}, over all instances
    this.picture = h("div", { class: "picture" });
    const { falls, rises } = this.sums();
    const { edges } = data;
    const legend = (kind, text, low, high) =>
      h("button", { type: "button", class: kind, onclick: () => this.pick(low, high) }, text);
    place.append(
      h("div", { class: "plot-head" }, h("h3", {}, `Change of ${visible(score)}`),
        h("p", { class: "legend" },
          legend("loss", `${countText(falls)} fall`, edges[0], 0),
          legend("", `${countText(data.unchanged)} unchanged`, 0, LEAST),
          legend("gain", `${countText(rises)} rise`, LEAST, beyond(edges)))),
      this.picture,
      h("p", { class: "plot-note" }, "Click a bar, or drag over several, to see their instances."));
    onWidth(this.picture, () => this.draw());
    state.listen(({ range }, previous) => range !== previous.range && this.draw());
  }

  sums() {
    const { edges, counts } = this.data;
    const sum = (test) => counts.reduce((all, count, k) => all + (test(edges[k]) ? count : 0), 0);
    return { falls: sum((edge) => edge < 0), rises: sum((edge) => edge >= 0) };
  }

  draw() {
    const width = this.picture.clientWidth;
    if (!width) return;
    const { edges, counts } = this.data;
    const height = 200;
    const x = d3.scaleLinear([edges[0], edges.at(-1)], [4, width - 4]);
    const y = d3.scaleLinear([0, d3.max(counts) || 1], [height - 24, 8]);
    const on = state.value.range ? splitRange(state.value.range) : null;
    const chosen = (k) => !on || on.score !== this.score || (edges[k] >= on.low - 1e-12 && edges[k + 1] <= on.high + 1e-12);
    const bars = counts.map((count, k) =>
      svg("rect", {
        x: x(edges[k]) + 0.5, width: Math.max(1, x(edges[k + 1]) - x(edges[k]) - 1),
        y: y(count), height: height - 24 - y(count),
        class: `${edges[k] < 0 ? "loss" : "gain"}${chosen(k) ? "" : " off"}`,
      }, svg("title", {}, `${numberText(edges[k], 3)} to ${numberText(edges[k + 1], 3)}: ${countText(count)}`)));
    const axis = svg("g", { transform: `translate(0,${height - 24})`, class: "axis" });
    d3.select(axis).call(d3.axisBottom(x).ticks(Math.max(3, width / 90)).tickSizeOuter(0));
    const zero = svg("line", { x1: x(0), x2: x(0), y1: 4, y2: height - 24, class: "zero" });
    const drawing = svg("svg", { width, height: height + 4, role: "img", "aria-label": `Distribution of the change of ${this.score}` }, bars, zero, axis);
    this.drag(drawing, x, edges);
    this.picture.replaceChildren(drawing);
  }

  drag(drawing, x, edges) {
    const bin = (event) => {
      const value = x.invert(event.clientX - drawing.getBoundingClientRect().left);
      return Math.max(0, Math.min(edges.length - 2, edges.findIndex((edge) => edge > value) - 1));
    };
    let start = null;
    drawing.addEventListener("pointerdown", (event) => (start = bin(event)));
    drawing.addEventListener("pointerup", (event) => {
      if (start === null) return;
      const [a, b] = [start, bin(event)].sort((p, q) => p - q);
      start = null;
      // The first interval that rises does not hold what is unchanged.
      this.pick(edges[a] === 0 ? LEAST : edges[a], b === edges.length - 2 ? beyond(edges) : edges[b + 1]);
    });
  }

  pick(low, high) {
    const range = `${this.score}:${low}:${high}`;
    state.set({ range: state.value.range === range ? "" : range, row: "" });
  }
}

function setUpDistributions(distributions) {
  const place = element("distributions");
  for (const [score, data] of Object.entries(distributions ?? {})) {
    const box = h("div", { class: "plot distribution" });
    place.append(box);
    new Distribution(box, score, data);
  }
}
