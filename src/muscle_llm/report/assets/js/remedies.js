// Accuracy against negative flips: one point per version with its intervals, what noise alone gives, and what
// the accuracy alone forces.

function remedyPoints() {
  const point = (name, role, metrics) => ({ name, role, accuracy: metrics.accuracy_new, nfr: metrics.nfr });
  const points = [point("new", "new", comparison.metrics)];
  for (const [name, candidate] of Object.entries(comparison.candidates ?? {}))
    points.push(point(name, candidate.role, candidate.metrics));
  return points.filter((p) => Number.isFinite(p.accuracy?.value) && Number.isFinite(p.nfr?.value));
}

const MARKS = {
  new: (x, y) => svg("rect", { x: x - 5, y: y - 5, width: 10, height: 10 }),
  remedy: (x, y) => svg("circle", { cx: x, cy: y, r: 6 }),
  control: (x, y) => svg("path", { d: `M${x},${y - 7}L${x + 7},${y}L${x},${y + 7}L${x - 7},${y}Z` }),
  noise_floor: (x, y) => svg("path", { d: `M${x},${y - 6}L${x + 6},${y + 5}H${x - 6}Z` }),
};

const LETTER = 7.4; // width of a letter in a label, about

class RemedyPlot {
  constructor(place) {
    this.points = remedyPoints();
    this.old = comparison.metrics.accuracy_old.value;
    this.picture = h("div", { class: "picture" });
    place.append(h("h3", {}, "Accuracy against negative flips"),
      h("p", { class: "plot-note" }, "Better is right and down. Bars are intervals."), this.picture);
    onWidth(this.picture, (width) => this.draw(width));
  }

  scales(width, height) {
    const bounds = (key) => this.points.flatMap((p) => [p[key].low ?? p[key].value, p[key].high ?? p[key].value]);
    const xs = [...bounds("accuracy"), this.old];
    const pad = (d3.max(xs) - d3.min(xs)) * 0.06 || 0.01;
    const x = d3.scaleLinear([d3.min(xs) - pad, d3.max(xs) + pad], [48, width - 12]).nice();
    const y = d3.scaleLinear([0, d3.max(bounds("nfr")) * 1.08 || 0.01], [height - 42, 10]).nice();
    return { x, y };
  }

  draw(width) {
    const height = Math.min(360, Math.max(260, width * 0.42));
    const { x, y } = this.scales(width, height);
    const percent = (value) => `${d3.format("~r")(Number((100 * value).toPrecision(6)))}\u00a0%`;
    const below = svg("g", { transform: `translate(0,${height - 42})`, class: "axis" });
    d3.select(below).call(d3.axisBottom(x).ticks(Math.max(3, width / 110)).tickFormat(percent).tickSizeOuter(0));
    const left = svg("g", { transform: "translate(48,0)", class: "axis" });
    d3.select(left).call(d3.axisLeft(y).ticks(5).tickFormat(percent).tickSize(-(width - 60)));
    this.picture.replaceChildren(
      svg("svg", { width, height, role: "img", "aria-label": this.description() }, left, below,
        svg("text", { x: width - 12, y: height - 6, "text-anchor": "end", class: "muted" }, "accuracy →"),
        svg("text", { x: 0, y: height - 6, class: "muted" }, "↑ negative flips"),
        this.floors(x, y, width), this.points.map((p) => this.cross(p, x, y)), this.labels(x, y, width)));
  }

  // What the fall in accuracy alone forces, and what re-training the old version alone gives.
  floors(x, y, width) {
    const [low, high] = x.domain();
    const shapes = [];
    if (low < this.old) {
      const top = Math.min(this.old - low, y.domain()[1]);
      const from = this.old - top;
      const points = `${x(from)},${y(top)} ${x(Math.min(this.old, high))},${y(Math.max(0, this.old - high))}`;
      shapes.push(svg("polygon", { points: `${points} ${x(from)},${y(0)}`, class: "forced" }));
      shapes.push(svg("polyline", { points, class: "forced-line" }));
      shapes.push(svg("text", { x: x(from) + 6, y: y(0) - 6, class: "muted small" }, "forced by the accuracy lost"));
    }
    const noise = this.points.find((p) => p.role === "noise_floor");
    if (noise) {
      const at = y(noise.nfr.value);
      shapes.push(svg("line", { x1: 48, x2: width - 12, y1: at, y2: at, class: "noise" }));
      shapes.push(svg("text", { x: width - 12, y: at - 5, "text-anchor": "end", class: "muted small" }, "noise floor"));
    }
    return svg("g", {}, shapes);
  }

  cross(p, x, y) {
    const at = [x(p.accuracy.value), y(p.nfr.value)];
    const line = (x1, x2, y1, y2) => svg("line", { x1, x2, y1, y2, class: "whisker" });
    return svg("g", { class: `point role-${p.role}`, "data-version": p.name, "data-x": p.accuracy.value, "data-y": p.nfr.value },
      Number.isFinite(p.accuracy.low) ? line(x(p.accuracy.low), x(p.accuracy.high), at[1], at[1]) : null,
      Number.isFinite(p.nfr.low) ? line(at[0], at[0], y(p.nfr.low), y(p.nfr.high)) : null,
      MARKS[p.role](...at),
      svg("title", {}, `${versionName(p.name)}: accuracy ${shareText(p.accuracy.value, 2)}, negative flips ${shareText(p.nfr.value, 2)}`));
  }

  // Names beside the points, moved apart where they would lie on each other.
  labels(x, y, width) {
    // The marks themselves are in the way too.
    const placed = this.points.map((p) => ({
      y: y(p.nfr.value) + 4, start: x(p.accuracy.value) - 8, end: x(p.accuracy.value) + 8,
    }));
    const ordered = [...this.points].sort((a, b) => y(a.nfr.value) - y(b.nfr.value));
    return svg("g", {}, ordered.map((p) => {
      const name = oneLine(versionName(p.name), 28);
      const [after, until] = [x(p.accuracy.value) + 11, x(p.accuracy.value) - 11];
      // What the version is stands behind its name where there is room.
      const whole = name + ({ control: " (control)", new: " (no remedy)" }[p.role] ?? "");
      const text = whole.length * LETTER < Math.max(width - after, until) ? whole : name;
      const size = text.length * LETTER;
      // Right of the point, else left of it, else from the edge.
      const before = until - size;
      const ends = after + size >= width && before >= 0;
      const start = after + size < width ? after : Math.max(0, before);
      let at = y(p.nfr.value) - 7;
      while (placed.some((o) => Math.abs(o.y - at) < 14 && start < o.end && o.start < start + size)) at += 3;
      placed.push({ y: at, start, end: start + size });
      return svg("text", { x: ends ? start + size : start, y: at, "text-anchor": ends ? "end" : "start", class: `name role-${p.role}` }, text);
    }));
  }

  description() {
    const list = this.points.map((p) => `${versionName(p.name)} ${shareText(p.accuracy.value)} and ${shareText(p.nfr.value)}`);
    return `Accuracy and negative flips: ${list.join("; ")}. The table below has the figures.`;
  }
}

function setUpRemedies() {
  const place = element("remedies");
  if (place && remedyPoints().length > 1) new RemedyPlot(place);
}
