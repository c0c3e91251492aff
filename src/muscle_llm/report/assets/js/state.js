// What is shown: filters, order and the chosen row. It stands in the address, so that a link shows the same view.

const EMPTY = Object.freeze({
  kinds: Object.freeze([]), // quadrant names
  via: "", // "VERSION:recovered" and the like: what became of an instance in a candidate
  slices: Object.freeze({}), // slice name -> value
  cause: "",
  reliable: "", // "negative" or "positive": flips that hold over the repeats
  search: "",
  range: "", // "SCORE:LOW:HIGH" on the change of a score
  sort: "",
  row: "",
});

const state = {
  value: EMPTY,
  listeners: [],

  // Merges a change, tells everyone, and writes the address. A filter that comes or goes is a step, which the
  // browser's Back takes away again; rows, orders and the letters of a search are not.
  set(change) {
    const previous = this.value;
    this.value = Object.freeze({ ...previous, ...change });
    const way = stepOf(previous) === stepOf(this.value) ? "replaceState" : "pushState";
    history[way](null, "", writeFragment(this.value) || location.pathname + location.search);
    this.tell(previous);
  },

  // Takes the view from the address, as a link or Back and Forward ask.
  read() {
    const previous = this.value;
    this.value = Object.freeze(readFragment(location.hash));
    this.tell(previous);
  },

  tell(previous) {
    for (const listen of this.listeners) listen(this.value, previous);
  },

  listen(listener) {
    this.listeners.push(listener);
  },

  toggleKind(names) {
    const have = this.value.kinds;
    const all = names.every((name) => have.includes(name));
    const kinds = all ? have.filter((k) => !names.includes(k)) : [...new Set([...have, ...names])];
    this.set({ kinds, row: "" });
  },

  setSlice(name, value) {
    const slices = { ...this.value.slices };
    if (value === null || slices[name] === value) delete slices[name];
    else slices[name] = value;
    this.set({ slices, row: "" });
  },

  clear() {
    this.set({ ...EMPTY, sort: this.value.sort });
  },

  filtered() {
    const { kinds, via, slices, cause, reliable, search, range } = this.value;
    return Boolean(kinds.length || via || cause || reliable || search || range || Object.keys(slices).length);
  },
};

const stepOf = (value) => writeFragment({ ...value, search: value.search && "any", sort: "", row: "" });

function writeFragment(value) {
  const words = new URLSearchParams();
  if (value.kinds.length) words.set("kind", value.kinds.join(","));
  for (const [name, chosen] of Object.entries(value.slices)) words.set(`slice.${name}`, chosen);
  for (const key of ["via", "cause", "reliable", "search", "range", "sort", "row"]) if (value[key]) words.set(key, value[key]);
  const text = words.toString();
  return text && `#${text}`;
}

function readFragment(fragment) {
  const words = new URLSearchParams(fragment.replace(/^#/, ""));
  const kinds = (words.get("kind") ?? "").split(",").filter((name) => name in QUADRANT);
  const slices = {};
  for (const [key, chosen] of words) if (key.startsWith("slice.")) slices[key.slice(6)] = chosen;
  const plain = Object.fromEntries(
    ["via", "cause", "reliable", "search", "range", "sort", "row"].map((key) => [key, words.get(key) ?? ""]),
  );
  return { ...EMPTY, ...plain, kinds, slices };
}
