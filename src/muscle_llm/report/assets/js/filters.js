// The filters above the list, and the line that says which are on.

const RELIABLE = { negative: "reliably worse", positive: "reliably better" };
const CHANGED_LABEL = (range) => {
  const { score, low, high } = splitRange(range);
  return `Δ ${score} from ${numberText(low, 3)} to ${numberText(high, 3)}`;
};

function chips() {
  const { kinds, via, slices, cause, reliable, search, range } = state.value;
  const list = kinds.map((name) => [quadrantLabel(QUADRANT[name]), () => state.toggleKind([name])]);
  if (via) {
    const [version, fate] = splitVia(via);
    list.push([`${versionName(version)}: ${VIA_LABEL[fate] ?? fate}`, () => state.set({ via: "", row: "" })]);
  }
  for (const [name, value] of Object.entries(slices))
    list.push([`${name} = ${value}`, () => state.setSlice(name, null)]);
  if (reliable) list.push([RELIABLE[reliable] ?? reliable, () => state.set({ reliable: "", row: "" })]);
  if (cause) list.push([`cause: ${cause.replaceAll("_", " ")}`, () => state.set({ cause: "", row: "" })]);
  if (range) list.push([CHANGED_LABEL(range), () => state.set({ range: "", row: "" })]);
  if (search) list.push([`“${search}”`, () => state.set({ search: "", row: "" })]);
  return list.map(([label, remove]) =>
    h("button", { type: "button", class: "chip", onclick: remove, "aria-label": `Remove filter ${label}` },
      h("span", {}, visible(label)), h("span", { class: "x", "aria-hidden": "true" }, "×")));
}

function option(value, label, chosen) {
  return h("option", { value, selected: value === chosen }, visible(label));
}

// A choice made of [value, label] pairs; `read` tells the chosen value from the state.
function filterSelect(label, pairs, read, write, unset = "all") {
  const select = h("select", {}, option("", `${label}: ${unset}`, ""), pairs.map(([value, text]) => option(value, text, "")));
  select.setAttribute("aria-label", label);
  select.addEventListener("change", () => write(select.value));
  state.listen((value) => {
    select.value = read(value);
    select.classList.toggle("on", Boolean(select.value));
  });
  return select;
}

function setUpFilters(index, selection) {
  const bar = element("filters");
  const search = element("search");
  let waiting = 0; // the pause after a letter, before its search
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      waiting = 0;
      state.set({ search: search.value, row: "" });
    }, 80);
  });
  state.listen(({ search: text }) => {
    if (!waiting && search.value !== text) search.value = text;
  });
  const present = new Set(index.quadrant);
  const kinds = vocabulary.quadrants.filter((_, code) => present.has(code)).map(([name, label]) => [name, label]);
  if (kinds.length)
    bar.append(filterSelect("Kind", kinds, ({ kinds: on }) => (on.length === 1 ? on[0] : ""),
      (value) => state.set({ kinds: value ? [value] : [], row: "" })));
  for (const [name, column] of Object.entries(index.slice)) {
    const values = column.values.filter((v) => v !== null).sort().map((v) => [v, v]);
    bar.append(filterSelect(visible(name), values, ({ slices }) => slices[name] ?? "",
      (value) => state.setSlice(name, value || null)));
  }
  const causes = index.cause?.values.filter(Boolean) ?? [];
  if (causes.length > 1) // a single one says nothing of an instance
    bar.append(filterSelect("Cause", causes.map((v) => [v, v.replaceAll("_", " ")]),
      ({ cause }) => cause, (cause) => state.set({ cause, row: "" })));
  const reliable = index.reliable?.values.filter(Boolean).map((v) => [v, RELIABLE[v] ?? v]) ?? [];
  if (reliable.length)
    bar.append(filterSelect("Repeats", reliable, ({ reliable: on }) => on, (value) => state.set({ reliable: value, row: "" })));
  const candidates = index.versions.slice(2).filter((version) => index.correct[version]);
  const fates = candidates.flatMap((version) =>
    ["recovered", "still_broken", "newly_broken", "lost_gains", "new_gains"].map((fate) =>
      [`${version}:${fate}`, `${versionName(version)}: ${VIA_LABEL[fate]}`]));
  if (fates.length) bar.append(filterSelect("Remedy", fates, ({ via }) => via, (via) => state.set({ via, row: "" })));
  const orders = [...selection.sortKeys()].flatMap(([key, [label]]) => [[key, `${label} ↑`], [`-${key}`, `${label} ↓`]]);
  bar.append(filterSelect("Order", orders, ({ sort }) => sort, (sort) => state.set({ sort }), "worst first"));
}
