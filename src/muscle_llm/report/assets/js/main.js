// Puts the parts together. The figures stand in the page already; this makes them answer to clicks.

function announce(text) {
  const place = element("said");
  place.textContent = text;
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => (place.textContent = ""), 2500);
}

// Filters and orders the list whenever the state changes, and measures how long that takes.
function connectList(index, texts, selection, table, detail) {
  let rows = null;
  const rowOf = new Map();
  for (let row = 0; row < index.n; row++) rowOf.set(rowKey(index, row), row);

  const refresh = async (value, previous) => {
    if (vocabulary.served && value.search) {
      await texts.ask(value.search.toLowerCase());
      if (value !== state.value) return; // something else is wanted by now
    }
    const start = performance.now();
    const same = rows && previous && ["kinds", "via", "slices", "cause", "reliable", "search", "range", "sort"].every((k) => value[k] === previous[k]);
    if (!same) {
      rows = selection.rows(value);
      table.show(rows, value.sort || selection.defaultSort);
      element("shown").textContent = countText(rows.length);
      element("chips").replaceChildren(...chips());
      element("clear").hidden = !state.filtered();
      element("pill-text").textContent = `${countText(rows.length)} ${rows.length === 1 ? "instance" : "instances"}`;
      element("nothing").hidden = rows.length > 0;
      document.body.classList.toggle("filtered", state.filtered());
      if (value.sort !== previous?.sort || !value.row) table.toTop();
    }
    // An id alone is the first of its repeats.
    const row = rowOf.get(value.row) ?? rowOf.get(`${value.row}#0`) ?? -1;
    const at = table.choose(row);
    if (row < 0) detail.clear();
    else detail.show(row, at, rows.length);
    if (!same) document.body.dataset.refreshMs = (performance.now() - start).toFixed(1);
  };
  state.listen(refresh);

  const step = (by) => {
    if (!rows.length) return;
    const now = rows.indexOf(table.chosen);
    const next = now < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, now + by));
    state.set({ row: rowKey(index, rows[next]) });
  };
  table.onchoose = (row) => state.set({ row: rowKey(index, row) });
  table.onsort = (key) => {
    const now = state.value.sort || selection.defaultSort;
    state.set({ sort: now === key ? `-${key}` : key });
  };
  return { step, rows: () => rows };
}

function setUpKeys(list) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) return;
    const inTable = event.target.closest("#table");
    const steps = { n: 1, j: 1, p: -1, k: -1, ...(inTable ? { ArrowDown: 1, ArrowUp: -1 } : {}) };
    if (event.key in steps) {
      event.preventDefault();
      list.step(steps[event.key]);
    } else if (event.key === "/") {
      event.preventDefault();
      element("search").focus();
    }
  });
}

function setUpDetail(index, texts, detail, list) {
  detail.container.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.row) state.set({ row: rowKey(index, Number(button.dataset.row)) });
    const actions = {
      previous: () => list.step(-1),
      next: () => list.step(1),
      link: async () => {
        await copyText(location.href);
        announce("Link copied");
      },
      id: async () => {
        await copyText(index.id[detail.current.row]);
        announce("Id copied");
      },
      markdown: async () => {
        await copyText(instanceMarkdown(index, detail.current.row, detail.current.texts));
        announce("Copied as Markdown");
      },
    };
    await actions[button.dataset.do]?.();
  });
}

// A reminder of the filters while the list itself is out of sight.
function setUpPill() {
  const pill = element("pill");
  let inSight = false;
  const update = () => (pill.hidden = inSight || !state.filtered());
  new IntersectionObserver(([entry]) => {
    inSight = entry.isIntersecting;
    update();
  }).observe(element("instances"));
  state.listen(update);
  element("pill-clear").addEventListener("click", () => state.clear());
  element("pill-see").addEventListener("click", () =>
    element("instances").scrollIntoView({ behavior: calm() ? "auto" : "smooth" }));
}

async function main() {
  setUpTips();
  setUpTheme();
  setUpFigures();
  setUpQuadrants();
  setUpFlow();
  setUpRemedies();
  setUpSlices();
  setUpDistributions(vocabulary.distributions);
  const { index, texts } = await openData();
  const selection = new Selection(index, texts);
  const table = new InstanceTable(element("table"), index, texts);
  const detail = new Detail(element("detail"), index, texts);
  texts.onchunk = () => requestAnimationFrame(() => table.fill());
  setUpFilters(index, selection);
  setUpPill();
  const list = connectList(index, texts, selection, table, detail);
  setUpKeys(list);
  setUpDetail(index, texts, detail, list);
  element("clear").addEventListener("click", () => state.clear());
  setUpExport(index, texts, list.rows);
  addEventListener("hashchange", () => state.read());
  $(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address holds the filters
    element("instances").scrollIntoView();
    element("search").focus({ preventScroll: true });
  });
  for (const link of $$("a.to-row")) link.addEventListener("click", () => element("instances").scrollIntoView());
  state.read();
  if (state.value.row) element("instances").scrollIntoView();
  document.body.dataset.ready = "list";
  performance.mark("list");
  await texts.loadAll();
  if (state.value.search) state.set({ kinds: [...state.value.kinds] }); // all texts can be searched now
  document.body.dataset.ready = "all";
  await selection.prepare();
}

main().catch((error) => {
  element("failure").hidden = false;
  element("failure").append(` (${error.message})`);
  throw error;
});
