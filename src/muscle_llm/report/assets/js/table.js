// The list of instances: only the rows in view exist, whatever the number of rows.

const ROW_HEIGHT = 36;

class InstanceTable {
  constructor(container, index, texts) {
    this.index = index;
    this.texts = texts;
    this.rows = new Uint32Array(0);
    this.chosen = -1;
    this.onchoose = () => {};
    this.onsort = () => {};
    this.columns = tableColumns(index, texts);
    this.head = h("div", { class: "row head", role: "row", "aria-rowindex": 1 });
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.scroller = container;
    container.append(h("div", { class: "headgroup", role: "rowgroup" }, this.head), this.body);
    container.style.setProperty("--columns", this.columns.map((c) => c.width).join(" "));
    container.setAttribute("aria-colcount", this.columns.length);
    this.virtual = new VirtualCore.Virtualizer(this.options());
    this.unmount = this.virtual._didMount();
    this.virtual._willUpdate();
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("[data-row]");
      if (row) this.onchoose(Number(row.dataset.row));
    });
  }

  options() {
    return {
      count: this.rows.length,
      getScrollElement: () => this.scroller,
      estimateSize: () => ROW_HEIGHT,
      overscan: 12,
      scrollPaddingStart: ROW_HEIGHT,
      scrollToFn: VirtualCore.elementScroll,
      observeElementRect: VirtualCore.observeElementRect,
      observeElementOffset: VirtualCore.observeElementOffset,
      onChange: () => this.draw(),
    };
  }

  show(rows, sort) {
    this.rows = rows;
    this.scroller.style.setProperty("--rows", rows.length);
    this.scroller.setAttribute("aria-rowcount", rows.length + 1);
    this.drawHead(sort);
    this.virtual.setOptions(this.options());
    this.virtual._willUpdate();
    this.virtual.measure();
  }

  // Reading or writing the scroll position makes the browser lay out the page: only where it is not at the top.
  toTop() {
    if (this.virtual.scrollOffset) this.scroller.scrollTop = 0;
  }

  // Draws again what waits for a text that has come.
  fill() {
    if ($(".waiting", this.body)) this.draw();
  }

  drawHead(sort) {
    const cells = this.columns.map((column) => {
      const direction = sort === column.sort ? "ascending" : sort === `-${column.sort}` ? "descending" : null;
      const label = column.sort
        ? h("button", { type: "button", class: "sort", onclick: () => this.onsort(column.sort) }, column.label)
        : h("span", {}, column.label);
      return h(
        "div",
        { role: "columnheader", class: column.kind, title: column.title, "aria-sort": direction },
        label,
      );
    });
    this.head.replaceChildren(...cells);
  }

  draw() {
    this.body.style.height = `${this.virtual.getTotalSize()}px`;
    const items = this.virtual.getVirtualItems();
    this.body.replaceChildren(...items.map((item) => this.drawRow(item)));
  }

  drawRow(item) {
    const row = this.rows[item.index];
    const chosen = row === this.chosen;
    const element = h(
      "div",
      {
        class: `row kind-${quadrantName(this.index.quadrant[row])}`,
        role: "row",
        id: `row-${row}`,
        "data-row": row,
        "data-at": item.index,
        "aria-rowindex": item.index + 2,
        "aria-selected": chosen ? "true" : "false",
      },
      this.columns.map((column) => h("div", { role: "gridcell", class: column.kind }, column.draw(row))),
    );
    element.style.transform = `translateY(${item.start}px)`;
    return element;
  }

  choose(row) {
    this.chosen = row;
    const at = row < 0 ? -1 : this.rows.indexOf(row);
    if (at >= 0) this.virtual.scrollToIndex(at, { align: "auto" });
    if (row >= 0) this.scroller.setAttribute("aria-activedescendant", `row-${row}`);
    else this.scroller.removeAttribute("aria-activedescendant");
    this.draw();
    return at;
  }
}

// What the list shows of a row, as far as the data has it.
function tableColumns(index, texts) {
  const columns = [
    {
      label: "Kind",
      sort: "kind",
      kind: "kind",
      width: NARROW ? "6.4rem" : "minmax(7.5rem, 10.5rem)",
      draw: (row) => kindMark(index.quadrant[row]),
    },
    { label: "Id", sort: "id", kind: "id", width: idWidth(index), draw: (row) => idText(index, row) },
  ];
  if (index.prompt && !NARROW)
    columns.push({
      label: "Prompt",
      kind: "text prompt",
      width: "minmax(0, 2.2fr)",
      draw: (row) => snippet(texts, row, (chunk) => chunk.prompt),
    });
  for (const version of ["old", "new"]) {
    if (!(version in index.answer)) continue;
    columns.push({
      label: versionName(version),
      title: `Answer of ${versionName(version)}`,
      sort: index.answer[version] ? `answer:${version}` : null,
      kind: `text answer ${version}`,
      width: "minmax(3rem, 1fr)",
      draw: (row) => answerText(index, texts, version, row),
    });
  }
  return [...columns, ...numberColumns(index), ...fateColumn(index)];
}

function numberColumns(index) {
  const columns = [];
  for (const [score, change] of Object.entries(index.change)) {
    if (!change) continue;
    columns.push({
      label: `Δ ${score}`,
      title: `${score}: ${versionName("new")} minus ${versionName("old")}`,
      sort: `change:${score}`,
      kind: "number",
      width: "5.5rem",
      draw: (row) => signedText(change[row], 3),
    });
  }
  if (index.margin.new)
    columns.push({
      label: "Margin",
      title: `Log-likelihood of the chosen answer above the next best, in ${versionName("new")}`,
      sort: "margin:new",
      kind: "number",
      width: "5rem",
      draw: (row) => numberText(index.margin.new[row], 2),
    });
  return columns;
}

// One mark per candidate, in the order of the side-by-side table.
function fateColumn(index) {
  const candidates = index.versions.slice(2).filter((version) => index.correct[version]);
  if (!candidates.length) return [];
  return [
    {
      label: "Candidates",
      title: `Right or wrong, in this order: ${candidates.map(versionName).join(", ")}`,
      kind: "fates",
      width: `minmax(6.2rem, ${1.5 * candidates.length}rem)`,
      draw: (row) =>
        candidates.map((version) => rightMark(index.correct[version][row], `${versionName(version)}: `)),
    },
  ];
}

const repeatText = (index, row) => (index.repeat ? ` ·${index.repeat[row] + 1}` : "");
const fullId = (index, row) => visible(index.id[row]) + repeatText(index, row);

// Ids differ at their ends more often than at their beginnings: a long one keeps both.
const ID_SHOWN = NARROW ? 10 : 22;
function idText(index, row) {
  const id = index.id[row];
  const shown = id.length <= ID_SHOWN ? id : `${id.slice(0, ID_SHOWN / 2 - 4)}…${id.slice(-ID_SHOWN / 2 - 3)}`;
  return visible(shown) + repeatText(index, row);
}

// As wide as the longest id asks for, half a rem a character.
function idWidth(index) {
  let longest = 2;
  for (const id of index.id) if (id.length > longest) longest = id.length;
  return `min(${(Math.min(longest, ID_SHOWN) + (index.repeat ? 4 : 0)) / 2 + 0.5}rem, 28vw)`;
}

function kindMark(code) {
  return [h("span", { class: "dot", "aria-hidden": "true" }), h("span", {}, quadrantLabel(code))];
}

function rightMark(flag, before = "") {
  const [sign, word] = flag === 1 ? ["✓", "right"] : flag === 0 ? ["✗", "wrong"] : ["·", "not known"];
  return h("span", { class: `mark ${word.replace(" ", "-")}`, title: before + word, role: "img", "aria-label": before + word }, sign);
}

// The beginning of a long text; dots while its chunk is being read.
function snippet(texts, row, column) {
  const text = texts.peek(row, column);
  if (text === undefined) return h("span", { class: "none waiting" }, "…");
  return text === null ? h("span", { class: "none" }, "none") : h("span", {}, oneLine(text));
}

function answerText(index, texts, version, row) {
  const mark = index.correct[version] ? rightMark(index.correct[version][row], `${versionName(version)}: `) : null;
  const known = index.answer[version];
  if (!known) return [mark, snippet(texts, row, (chunk) => chunk.answer[version])];
  const text = known.at(row);
  return [mark, text === null ? h("span", { class: "none" }, "no answer") : h("span", {}, oneLine(text))];
}
