// Where instances go: old -> new -> a candidate. Ribbons and their list filter by what became of an instance.

const FATES = {
  kept_right: "right",
  newly_broken: "broken",
  recovered: "mended",
  still_broken: "broken",
  kept_gains: "gained",
  lost_gains: "broken",
  new_gains: "gained",
  kept_wrong: "wrong",
};
const FATE_LABEL = {
  recovered: "Recovered",
  still_broken: "Still broken",
  newly_broken: "Newly broken",
  lost_gains: "Gains lost",
  kept_gains: "Gains kept",
  new_gains: "New gains",
};

// How many instances took each way, from the counts of the document (not from the rows in this file).
function fateCounts(counts, against) {
  const flips = counts.negative_flips;
  const gains = counts.positive_flips;
  const { recovered, newly_broken, lost_gains, new_gains } = against;
  return {
    kept_right: counts.both_right - newly_broken,
    newly_broken,
    recovered,
    still_broken: flips - recovered,
    kept_gains: gains - lost_gains,
    lost_gains,
    new_gains,
    kept_wrong: counts.both_wrong - new_gains,
  };
}

const ribbon = (x0, x1, from, to, size) => {
  const middle = (x0 + x1) / 2;
  return `M${x0},${from}C${middle},${from} ${middle},${to} ${x1},${to}V${to + size}` +
    `C${middle},${to + size} ${middle},${from + size} ${x0},${from + size}Z`;
};

// The remedy with the fewest negative flips, as the headline names it.
function bestRemedy(names) {
  const nfr = (name) => comparison.candidates[name].metrics.nfr?.value ?? Infinity;
  return names.filter((name) => versionRole(name) === "remedy").sort((a, b) => nfr(a) - nfr(b))[0];
}

class Flow {
  constructor(place) {
    this.place = place;
    this.counts = comparison.counts;
    this.candidates = Object.entries(comparison.candidates ?? {})
      .filter(([, c]) => Number.isFinite(c.against_new?.recovered))
      .map(([name]) => name);
    this.chosen = bestRemedy(this.candidates) ?? this.candidates[0];
    this.picture = h("div", { class: "picture" });
    place.append(this.choice(), this.picture, (this.list = h("div", { class: "fates-list" })));
    onWidth(this.picture, () => this.draw());
    state.listen(({ via }, previous) => {
      if (via === previous.via) return;
      const [version] = splitVia(via);
      if (via && this.candidates.includes(version)) this.chosen = version;
      this.draw();
    });
  }

  choice() {
    const title = h("h3", {}, this.chosen ? "From old to new to a remedy" : "From old to new");
    if (this.candidates.length < 2) return title;
    this.select = h("select", { "aria-label": "Version in the flow" },
      this.candidates.map((name) => h("option", { value: name }, visible(name))));
    this.select.addEventListener("change", () => {
      this.chosen = this.select.value;
      if (state.value.via) state.set({ via: "", row: "" });
      else this.draw();
    });
    return h("div", { class: "plot-head" }, title, this.select);
  }

  // The bands in every column: [key, size], top to bottom; right above wrong.
  bands() {
    const c = this.counts;
    const pairs = [
      ["both_right", c.both_right, 1, 1],
      ["regression", c.negative_flips, 1, 0],
      ["gain", c.positive_flips, 0, 1],
      ["both_wrong", c.both_wrong, 0, 0],
    ];
    const fates = this.chosen ? fateCounts(c, comparison.candidates[this.chosen].against_new) : null;
    return { pairs, fates };
  }

  draw() {
    const width = this.picture.clientWidth;
    if (!width) return;
    if (this.select) this.select.value = this.chosen;
    const { pairs, fates } = this.bands();
    const total = pairs.reduce((sum, pair) => sum + pair[1], 0);
    const height = 236;
    const gap = 18;
    const top = 26;
    const scale = (height - gap) / total;
    const columns = fates ? [0, (width - 10) / 2, width - 10] : [0, width - 10];
    const bar = 10;
    const shapes = [];
    // Offsets of right and wrong in a column.
    const starts = (right) => [top + right * scale + gap, top];
    const c = this.counts;
    const rights = [c.both_right + c.negative_flips, c.both_right + c.positive_flips];
    const place = [starts(rights[0]), starts(rights[1])];
    const cursor = [[...place[0]], [...place[1]], [...place[1]]];
    for (const [name, size, old, now] of pairs) {
      shapes.push(this.band(name, size, ribbon(columns[0] + bar, columns[1], cursor[0][old], cursor[1][now], size * scale), [name]));
      cursor[0][old] += size * scale;
      cursor[1][now] += size * scale;
    }
    let third = null;
    if (fates) {
      third = fates.kept_right + fates.recovered + fates.kept_gains + fates.new_gains;
      const end = starts(third);
      // In the order of the bands in the middle column: right first, from old right, from old wrong.
      const order = [
        ["kept_right", 1, 1], ["newly_broken", 1, 0], ["kept_gains", 1, 1], ["lost_gains", 1, 0],
        ["recovered", 0, 1], ["still_broken", 0, 0], ["new_gains", 0, 1], ["kept_wrong", 0, 0],
      ];
      for (const [fate, now, then] of order) {
        const size = fates[fate];
        shapes.push(this.fateBand(fate, size, ribbon(columns[1] + bar, columns[2], cursor[2][now], end[then], size * scale)));
        cursor[2][now] += size * scale;
        end[then] += size * scale;
      }
      rights.push(third);
    }
    const heads = ["old", "new", this.chosen];
    const bars = columns.flatMap((x, k) => this.column(x, bar, rights[k], total, scale, starts(rights[k]), k, columns.length, heads[k], width));
    this.picture.replaceChildren(
      svg("svg", { width, height: height + top + 4, role: "img", "aria-label": "Flow of the instances from old to new" + (fates ? ` to ${this.chosen}` : "") }, shapes, bars));
    this.drawList(fates);
  }

  column(x, bar, right, total, scale, [wrongAt, rightAt], k, columns, version, width) {
    const last = k === columns - 1;
    const anchor = k === 0 ? "start" : last ? "end" : "middle";
    const at = k === 0 ? 0 : last ? width : x + bar / 2;
    const inner = k === 0 ? x + bar + 6 : x - 6;
    // Between narrow columns two labels meet: only the first one says what the shares are of.
    const brief = k > 0 && width / (columns - 1) < 210;
    const label = (y, share, word) => svg("text", { x: inner, y, class: "on-band", "text-anchor": k === 0 ? "start" : "end" },
      brief ? shareText(share) : `${shareText(share)} ${word}`);
    return [
      svg("text", { x: at, y: 12, "text-anchor": anchor, class: "head" }, oneLine(versionName(version), 26)),
      svg("rect", { x, y: rightAt, width: bar, height: Math.max(0.5, right * scale), class: "node right", rx: 2 }),
      svg("rect", { x, y: wrongAt, width: bar, height: Math.max(0.5, (total - right) * scale), class: "node wrong", rx: 2 }),
      right > 0 ? label(rightAt + 15, right / total, "right") : null,
      total - right > 0 ? label(wrongAt + (total - right) * scale - 6, 1 - right / total, "wrong") : null,
    ];
  }

  band(name, size, path) {
    const kinds = name.startsWith("both") ? [`${name}_same`, `${name}_changed`] : [name];
    const label = { both_right: "Both right", both_wrong: "Both wrong", regression: "Regression", gain: "Gain" }[name];
    return svg("path", { d: path, class: `ribbon ${name}`, onclick: () => state.toggleKind(kinds) },
      svg("title", {}, `${label}: ${countText(size)}`));
  }

  fateBand(fate, size, path) {
    const off = state.value.via && state.value.via !== `${this.chosen}:${fate}`;
    return svg("path", { d: path, class: `ribbon fate ${FATES[fate]}${off ? " off" : ""}`, onclick: () => this.pick(fate) },
      svg("title", {}, `${VIA_LABEL[fate]}: ${countText(size)}`));
  }

  pick(fate) {
    const via = `${this.chosen}:${fate}`;
    state.set({ via: state.value.via === via ? "" : via, row: "" });
  }

  drawList(fates) {
    if (!fates) return;
    this.list.replaceChildren(
      ...Object.entries(FATE_LABEL).map(([fate, label]) =>
        h("button", { type: "button", class: `fate-item ${FATES[fate]}`, "aria-pressed": state.value.via === `${this.chosen}:${fate}` ? "true" : "false", onclick: () => this.pick(fate) },
          h("span", { class: "swatch", "aria-hidden": "true" }), h("span", {}, label), h("b", {}, countText(fates[fate])))));
  }
}

function setUpFlow() {
  const place = element("flow");
  if (place && Number.isFinite(comparison.counts.both_right)) new Flow(place);
}
