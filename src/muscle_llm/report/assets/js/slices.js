// Slices: a table in which every row is a line of a forest plot. A click on a row filters the list.

const SLICES_SHOWN = 20; // more fold away at first

const ofSlice = (s, metric) => (metric === "excess_nfr" ? s.excess_nfr : s.metrics[metric]);
const ofAll = (metric) => (metric === "excess_nfr" ? comparison.excess_nfr : comparison.metrics[metric]);

const SLICE_COLUMNS = [
  { key: "slice", label: "Slice", value: (s) => `${s.slice} = ${s.value}` },
  { key: "n", label: "Instances", value: (s) => s.counts?.n ?? s.n, number: true },
  { key: "nfr", label: "Negative flips", value: (s) => s.metrics.nfr?.value, metric: "nfr", term: "nfr" },
  { key: "accuracy", label: "Accuracy, change", value: (s) => s.metrics.accuracy_difference?.value, metric: "accuracy_difference", term: "accuracy_difference" },
  ...(comparison.excess_nfr ? [{ key: "excess", label: "Beyond the noise floor", value: (s) => s.excess_nfr?.value, metric: "excess_nfr", term: "excess_nfr" }] : []),
  { key: "q", label: "Shown worse?", value: (s) => s.q ?? s.p },
];

// Width of a line of the plot: what the window leaves for each.
const FORESTS = SLICE_COLUMNS.filter((column) => column.metric).length;
const FOREST = NARROW ? 90 : Math.max(110, Math.min(200, (Math.min(innerWidth, 1240) - 560) / FORESTS));

class SliceTable {
  constructor(place) {
    this.rows = comparison.slices;
    this.sort = this.rows.some((s) => s.worse) ? { key: "q", down: false } : { key: "nfr", down: true };
    this.body = h("tbody");
    this.head = h("tr");
    this.scales = Object.fromEntries(SLICE_COLUMNS.filter((c) => c.metric).map(({ metric }) => [metric, this.scale(metric)]));
    this.all = false;
    this.more = h("button", { type: "button", class: "quiet", onclick: () => {
      this.all = !this.all;
      this.draw();
    } });
    this.said = h("span", { class: "plot-note" });
    place.replaceChildren(h("table", { class: "slices" }, h("thead", {}, this.head), this.body));
    if (this.rows.length > SLICES_SHOWN) place.after(h("div", { id: "more-slices" }, this.more, this.said));
    state.listen(({ slices }, previous) => slices !== previous.slices && this.draw());
    this.draw();
  }

  scale(metric) {
    const all = [...this.rows.map((s) => ofSlice(s, metric)), ofAll(metric)].filter(Boolean);
    const ends = all.flatMap((e) => [e.low ?? e.value, e.high ?? e.value]).filter(Number.isFinite);
    return d3.scaleLinear([Math.min(0, ...ends), Math.max(0, ...ends)], [6, FOREST - 6]).nice();
  }

  sorted() {
    const column = SLICE_COLUMNS.find((c) => c.key === this.sort.key);
    const sign = this.sort.down ? -1 : 1;
    const order = (a, b) => {
      const [x, y] = [column.value(a), column.value(b)];
      if (x === y) return 0;
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return sign * (x < y ? -1 : 1);
    };
    return [...this.rows].sort(order);
  }

  draw() {
    this.head.replaceChildren(...SLICE_COLUMNS.map((column) => {
      const on = column.key === this.sort.key;
      const button = h("button", { type: "button", class: "sort", onclick: () => {
        this.sort = { key: column.key, down: on ? !this.sort.down : !["slice", "q"].includes(column.key) };
        this.draw();
      }, "data-term": column.term }, column.label);
      const axis = column.metric ? this.axis(this.scales[column.metric]) : null;
      return h("th", { scope: "col", class: column.number ? "number" : column.metric ? "forest" : null,
        "aria-sort": on ? (this.sort.down ? "descending" : "ascending") : null }, button, axis);
    }));
    const sorted = this.sorted();
    const on = (slice) => state.value.slices[slice.slice] === slice.value;
    const shown = this.all ? sorted : sorted.filter((slice, at) => at < SLICES_SHOWN || on(slice));
    this.body.replaceChildren(...shown.map((slice) => this.row(slice)));
    this.said.textContent = `${countText(shown.length)} of ${countText(sorted.length)} shown`;
    this.more.textContent = this.all ? `Show ${SLICES_SHOWN} slices` : `Show all ${countText(sorted.length)} slices`;
  }

  axis(scale) {
    const group = svg("g", { class: "axis", transform: "translate(0,2)" });
    d3.select(group).call(d3.axisBottom(scale).ticks(FOREST > 150 ? 4 : 2).tickSize(0).tickPadding(2).tickFormat((v) => d3.format("~r")(Number((100 * v).toPrecision(4)))));
    return svg("svg", { width: FOREST, height: 18, "aria-hidden": "true" }, group);
  }

  row(slice) {
    const on = state.value.slices[slice.slice] === slice.value;
    const verdict = slice.worse === true ? h("span", { class: "worse" }, "worse") : slice.worse === false ? h("span", { class: "muted" }, "no") : "";
    const q = Number.isFinite(slice.q) ? h("span", { class: "range" }, ` q ${slice.q < 0.001 ? "< 0.001" : slice.q.toFixed(3)}`) : null;
    return h("tr", { class: `${slice.worse ? "is-worse" : ""}${on ? " on" : ""}`, onclick: () => state.setSlice(slice.slice, slice.value) },
      h("th", { scope: "row" }, h("button", { type: "button", "aria-pressed": on ? "true" : "false" },
        h("span", { class: "muted" }, `${visible(slice.slice)} `), visible(slice.value))),
      h("td", { class: "number" }, countText(slice.counts?.n ?? slice.n)),
      ...SLICE_COLUMNS.filter((c) => c.metric).map(({ metric }) => this.forest(slice, metric)),
      h("td", {}, verdict, q));
  }

  forest(slice, metric) {
    const estimate = ofSlice(slice, metric);
    const scale = this.scales[metric];
    const overall = ofAll(metric)?.value;
    const cell = h("td", { class: "forest" });
    if (!estimate || !Number.isFinite(estimate.value)) {
      cell.append(h("span", { class: "none" }, "not known"));
      return cell;
    }
    const drawing = svg("svg", { width: FOREST, height: 22, "aria-hidden": "true" },
      svg("line", { x1: scale(0), x2: scale(0), y1: 0, y2: 22, class: "zero" }),
      Number.isFinite(overall) ? svg("line", { x1: scale(overall), x2: scale(overall), y1: 0, y2: 22, class: "overall" }) : null,
      Number.isFinite(estimate.low) ? svg("line", { x1: scale(estimate.low), x2: scale(estimate.high), y1: 11, y2: 11, class: "whisker" }) : null,
      svg("circle", { cx: scale(estimate.value), cy: 11, r: 4, class: "dot-mark" }));
    const digits = metric === "nfr" ? shareText(estimate.value, 1) : signedText(100 * estimate.value, 1);
    cell.append(drawing, h("span", { class: "value", "data-value": estimate.value }, digits));
    return cell;
  }
}

function setUpSlices() {
  const place = element("slices");
  if (place && comparison.slices?.length) new SliceTable(place);
}
