// The chosen instance: prompt, reference, and the answers of all versions side by side.

class Detail {
  constructor(container, index, texts) {
    this.container = container;
    this.index = index;
    this.texts = texts;
    this.base = "old";
    this.drawn = 0;
    this.current = null;
  }

  clear() {
    this.drawn++;
    this.current = null;
    this.container.replaceChildren(
      h("p", { class: "hint" }, "Choose an instance to read the prompt and every answer. ",
        h("kbd", {}, "n"), " and ", h("kbd", {}, "p"), " step through the list."),
    );
  }

  async show(row, at, count) {
    const turn = ++this.drawn;
    const texts = await this.texts.row(row);
    if (turn !== this.drawn) return; // another row was chosen meanwhile
    this.current = { row, at, count, texts };
    this.draw();
  }

  draw() {
    const { row, texts } = this.current;
    const blocks = [this.heading(), this.question(texts)];
    if (texts.choices?.length) blocks.push(choiceTable(this.index, row, texts));
    blocks.push(this.answers(row, texts), this.repeats(row));
    this.container.replaceChildren(...blocks.filter(Boolean));
    showFound(this.container, state.value.search);
  }

  heading() {
    const { index } = this;
    const { row, at, count } = this.current;
    const code = index.quadrant[row];
    const slices = Object.entries(index.slice)
      .map(([name, column]) => [name, column.at(row)])
      .filter(([, value]) => value !== null && value !== undefined);
    return h(
      "header",
      { class: `detail-head kind-${quadrantName(code)}` },
      h(
        "div",
        { class: "detail-title" },
        h("h3", {}, kindMark(code), h("span", { class: "id" }, fullId(index, row))),
        h("p", { class: "place" }, at >= 0 ? `${countText(at + 1)} of ${countText(count)}` : "not in the filtered list"),
      ),
      index.cause?.at(row) ? h("p", { class: "cause" }, vocabulary.causes[index.cause.at(row)] ?? index.cause.at(row)) : null,
      h("div", { class: "tags" }, slices.map(([name, value]) => sliceTag(name, value))),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", "data-do": "previous", title: "Previous (p)" }, "← Previous"),
        h("button", { type: "button", "data-do": "next", title: "Next (n)" }, "Next →"),
        h("button", { type: "button", "data-do": "id" }, "Copy id"),
        h("button", { type: "button", "data-do": "markdown" }, "Copy as Markdown"),
        h("button", { type: "button", "data-do": "link" }, "Copy link"),
      ),
    );
  }

  question(texts) {
    const references = (texts.references ?? []).filter((r) => r !== null);
    return h(
      "div",
      { class: "question" },
      textBlock("Prompt", texts.prompt, "prompt"),
      references.length ? textBlock(references.length > 1 ? "References" : "Reference", references.join("\n\n"), "reference") : null,
    );
  }

  answers(row, texts) {
    const { versions } = this.index;
    const whole = (version) => texts.output[version] ?? texts.answer[version] ?? null;
    const reference = (texts.references ?? []).join("\n\n");
    const baseText = this.base === "reference" ? reference : this.base === "none" ? null : whole(this.base);
    const panels = versions.map((version) => {
      // The base itself is marked against the new version, so that what was lost can be seen.
      const isBase = version === this.base;
      const against = isBase ? (version === "new" ? whole("old") : whole("new")) : baseText;
      return this.panel(row, version, texts, whole(version), against, isBase ? "del" : "ins");
    });
    const code = versions.some((version) => looksLikeCode(whole(version)));
    return h("div", { class: code ? "answers code" : "answers" }, this.baseChoice(reference), h("div", { class: "panels" }, panels));
  }

  baseChoice(reference) {
    const options = [
      ["old", versionName("old")],
      ["new", versionName("new")],
      ...(reference ? [["reference", "the reference"]] : []),
      ["none", "nothing"],
    ];
    const select = h("select", { id: "diff-base" },
      options.map(([value, label]) => h("option", { value, selected: value === this.base }, visible(label))));
    select.addEventListener("change", () => {
      this.base = select.value;
      this.draw();
      element("diff-base").focus();
    });
    return h("div", { class: "diff-bar" }, h("h4", {}, "Answers"), h("label", {}, "differences against ", select));
  }

  panel(row, version, texts, text, against, tag) {
    const { index } = this;
    const role = versionRole(version);
    const answer = texts.answer[version];
    const scores = Object.entries(index.score)
      .filter(([, versions]) => versions[version])
      .map(([name, versions]) => `${name} ${numberText(versions[version][row], 3)}`);
    const marks = text === null ? [h("span", { class: "none" }, "no answer in the logs")] : markedText(text, against, tag);
    const both = texts.output[version] !== undefined && texts.output[version] !== null && answer !== null && answer !== undefined;
    return h("section", { class: `panel role-${role}`, "data-version": version },
      h("h5", {},
        index.correct[version] ? rightMark(index.correct[version][row]) : null,
        h("span", { class: "name" }, visible(versionName(version))),
        ["old", "new"].includes(role) ? null : h("span", { class: "role" }, role.replace("_", " "))),
      both || scores.length
        ? h("p", { class: "answer-line" },
            both ? h("span", { class: "answer" }, "answer ", h("b", {}, oneLine(answer, 200))) : null,
            scores.map((score) => h("span", { class: "score" }, score)))
        : null,
      h("div", { class: "model-text", dir: "auto", tabindex: "0", role: "region", "aria-label": `Answer of ${versionName(version)}` }, marks));
  }

  // All repeats of this instance, one square each.
  repeats(row) {
    const { index } = this;
    if (!index.repeat) return null;
    const rows = sameId(index, row);
    const strip = (version) =>
      h("div", { class: "strip" }, h("span", { class: "name" }, visible(versionName(version))),
        rows.map((other) =>
          h("button", {
            type: "button",
            class: `square ${index.correct[version][other] === 1 ? "right" : "wrong"}`,
            "data-row": other,
            "aria-current": other === row ? "true" : null,
            title: `Repeat ${index.repeat[other] + 1}: ${index.correct[version][other] === 1 ? "right" : "wrong"}`,
            "aria-label": `${versionName(version)}, repeat ${index.repeat[other] + 1}: ${index.correct[version][other] === 1 ? "right" : "wrong"}`,
          })));
    const versions = index.versions.filter((version) => index.correct[version]);
    return h("div", { class: "repeats" }, h("h4", {}, `${rows.length} repeats`), versions.map(strip));
  }
}

// Whether a text needs letters of one width: a fence, or several indented lines.
const looksLikeCode = (text) =>
  text !== null && (/^\s*```/m.test(text) || (text.match(/^(?: {4}|\t)\s*\S/gm) ?? []).length > 2);

const idRows = new Map();
function sameId(index, row) {
  if (!idRows.size)
    index.id.forEach((id, other) => {
      if (!idRows.has(id)) idRows.set(id, []);
      idRows.get(id).push(other);
    });
  return idRows.get(index.id[row]);
}

function sliceTag(name, value) {
  const on = state.value.slices[name] === value;
  return h("button", { type: "button", class: "tag", "aria-pressed": on ? "true" : "false", onclick: () => state.setSlice(name, value) },
    h("span", {}, `${visible(name)} `), h("b", {}, visible(value)));
}

function textBlock(title, text, kind) {
  if (text === null || text === undefined) return null;
  return h("section", { class: `block ${kind}` }, h("h4", {}, title),
    h("div", { class: "model-text", dir: "auto", tabindex: "0", role: "region", "aria-label": title }, markedText(text, null, "ins")));
}
