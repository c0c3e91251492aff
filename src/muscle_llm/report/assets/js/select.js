// Which rows are shown, and in which order. Orders are worked out once per key; a filter then only walks one.

// What became of an instance: [correct in old, in new, in the candidate].
const VIA = {
  recovered: [1, 0, 1],
  still_broken: [1, 0, 0],
  newly_broken: [1, 1, 0],
  kept_right: [1, 1, 1],
  lost_gains: [0, 1, 0],
  kept_gains: [0, 1, 1],
  new_gains: [0, 0, 1],
  kept_wrong: [0, 0, 0],
};
const VIA_LABEL = {
  recovered: "recovered",
  still_broken: "still broken",
  newly_broken: "newly broken",
  kept_right: "right throughout",
  lost_gains: "gain lost",
  kept_gains: "gain kept",
  new_gains: "new gain",
  kept_wrong: "wrong throughout",
};

function splitVia(via) {
  const at = via.lastIndexOf(":");
  return [via.slice(0, at), via.slice(at + 1)];
}

function splitRange(range) {
  const parts = range.split(":");
  return { high: Number(parts.pop()), low: Number(parts.pop()), score: parts.join(":") };
}

class Selection {
  constructor(index, texts) {
    this.index = index;
    this.texts = texts;
    this.orders = new Map();
    this.found = { query: "", complete: false, rows: null };
    const score = Object.keys(index.change).find((name) => index.change[name]);
    const judged = "regression" in QUADRANT && index.quadrant.some((code) => code !== UNKNOWN);
    // What got worse stands first.
    this.defaultSort = judged || !score ? "kind" : `change:${score}`;
  }

  // The keys rows can be ordered by: name -> [label, numeric column or text getter].
  sortKeys() {
    const { index } = this;
    const keys = new Map([["kind", ["Kind", Float64Array.from(index.quadrant)]]]);
    keys.set("id", ["Id", index.id]);
    for (const [score, change] of Object.entries(index.change))
      if (change) keys.set(`change:${score}`, [`Change of ${score}`, change]);
    for (const [version, margin] of Object.entries(index.margin))
      keys.set(`margin:${version}`, [`Margin, ${versionName(version)}`, margin]);
    for (const version of ["old", "new"])
      if (index.answer[version]) keys.set(`answer:${version}`, [`Answer, ${versionName(version)}`, null]);
    return keys;
  }

  // Every row in the order of a key; "-" in front reverses. Unknown values come last either way.
  order(sort) {
    if (!this.orders.has(sort)) this.orders.set(sort, this.makeOrder(sort));
    return this.orders.get(sort);
  }

  makeOrder(sort) {
    const down = sort.startsWith("-");
    const ranks = this.ranks(down ? sort.slice(1) : sort);
    if (!ranks) return Uint32Array.from({ length: this.index.n }, (_, row) => row);
    return sortedRows(down ? ranks.map((rank) => -rank) : ranks);
  }

  // Works out every order ahead, a little at a time, so that none has to be waited for.
  async prepare() {
    for (const key of this.sortKeys().keys())
      for (const sort of [key, `-${key}`]) {
        await new Promise((resolve) => (self.requestIdleCallback ?? setTimeout)(resolve));
        this.order(sort);
      }
  }

  // Numbers that order the rows as the key does.
  ranks(key) {
    const known = this.sortKeys().get(key);
    if (!known) return null;
    if (known[1] instanceof Float64Array) return known[1];
    if (key === "id") {
      const asNumbers = Float64Array.from(this.index.id, (id) => (id === "" ? NaN : Number(id)));
      if (!asNumbers.some(Number.isNaN)) return asNumbers;
      return textRanks((row) => this.index.id[row], this.index.n);
    }
    const column = this.index.answer[key.slice("answer:".length)];
    const places = textRanks((k) => column.values[k], column.values.length);
    return Float64Array.from(column.codes, (code) => places[code]);
  }

  // The rows that pass the filters, in order.
  rows(value) {
    const { index } = this;
    const keep = new Uint8Array(index.n).fill(1);
    this.keepKinds(keep, value.kinds);
    if (value.via) this.keepVia(keep, value.via);
    for (const [name, chosen] of Object.entries(value.slices)) keepText(keep, index.slice[name], chosen);
    if (value.cause) keepText(keep, index.cause, value.cause);
    if (value.reliable) keepText(keep, index.reliable, value.reliable);
    if (value.range) this.keepRange(keep, value.range);
    if (value.search) this.keepFound(keep, value.search);
    const order = this.order(value.sort || this.defaultSort);
    const rows = new Uint32Array(index.n);
    let size = 0;
    for (let i = 0; i < order.length; i++) if (keep[order[i]]) rows[size++] = order[i];
    return rows.subarray(0, size);
  }

  keepKinds(keep, kinds) {
    if (!kinds.length) return;
    const wanted = new Uint8Array(UNKNOWN + 1);
    for (const name of kinds) wanted[QUADRANT[name]] = 1;
    const { quadrant } = this.index;
    for (let row = 0; row < keep.length; row++) keep[row] &= wanted[quadrant[row]];
  }

  keepVia(keep, via) {
    const [version, fate] = splitVia(via);
    const pattern = VIA[fate];
    const { correct } = this.index;
    if (!pattern || !correct[version] || !correct.old || !correct.new) return void keep.fill(0);
    for (let row = 0; row < keep.length; row++)
      keep[row] &=
        correct.old[row] === pattern[0] && correct.new[row] === pattern[1] && correct[version][row] === pattern[2];
  }

  keepRange(keep, range) {
    const { score, low, high } = splitRange(range);
    const change = this.index.change[score];
    if (!change) return void keep.fill(0);
    for (let row = 0; row < keep.length; row++) keep[row] &= change[row] >= low && change[row] < high;
  }

  keepFound(keep, search) {
    const query = search.toLowerCase();
    if (this.found.query !== query || !this.found.complete)
      this.found = { query, complete: this.texts.complete, rows: this.texts.find(query) };
    const { rows } = this.found;
    for (let row = 0; row < keep.length; row++) keep[row] &= rows[row];
  }
}

function keepText(keep, column, chosen) {
  const code = column?.values ? column.values.indexOf(chosen) : -1;
  if (code < 0) return void keep.fill(0);
  for (let row = 0; row < keep.length; row++) keep[row] &= column.codes[row] === code;
}

// Rows in rising order of their ranks; equal ones in the order of the data, unknown ones (NaN) last.
// Sorting the numbers themselves is far quicker than sorting rows with a comparison.
function sortedRows(ranks) {
  const sorted = Float64Array.from(ranks).sort();
  const known = sorted.findIndex(Number.isNaN);
  const end = known < 0 ? sorted.length : known;
  const rows = new Uint32Array(ranks.length);
  const filled = new Uint32Array(end + 1); // how many rows of an equal rank have been placed
  let unknown = end;
  for (let row = 0; row < ranks.length; row++) {
    const rank = ranks[row];
    if (Number.isNaN(rank)) {
      rows[unknown++] = row;
      continue;
    }
    let low = 0;
    let high = end;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < rank) low = middle + 1;
      else high = middle;
    }
    rows[low + filled[low]++] = row;
  }
  return rows;
}

// Ranks of texts: each distinct text is ordered once.
function textRanks(at, size) {
  const distinct = new Map();
  for (let row = 0; row < size; row++) if (at(row) !== null) distinct.set(at(row), 0);
  [...distinct.keys()].sort().forEach((text, rank) => distinct.set(text, rank));
  return Float64Array.from({ length: size }, (_, row) => distinct.get(at(row)) ?? NaN);
}
