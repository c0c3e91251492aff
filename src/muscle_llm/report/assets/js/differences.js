// Differences by words, shown as marked text.

const DIFF_LIMIT = 20000; // characters a side; longer texts are shown without marks
const SHOWN_LIMIT = 20000; // characters shown at first

// Steps from `base` to `text`: {same}, or {gone, come} where they differ. Null where it would take too long.
function diffSteps(base, text) {
  if (base.length > DIFF_LIMIT || text.length > DIFF_LIMIT) return null;
  const parts = Diff.diffWordsWithSpace(base, text, { timeout: 150 });
  if (!parts) return null;
  const steps = [];
  for (const { value, added, removed } of parts) {
    if (!added && !removed) steps.push({ same: value });
    else {
      if (!steps.length || "same" in steps.at(-1)) steps.push({ gone: "", come: "" });
      steps.at(-1)[added ? "come" : "gone"] += value;
    }
  }
  return joined(steps);
}

const inked = (text) => text.replace(/\s/g, "").length;

// Where only a word or two between two changes is the same by chance, the whole passage counts as changed: what
// is the same must be longer than what changes before it or after it, else the marks are confetti.
function joined(steps) {
  const kept = [];
  const size = ({ gone, come }) => Math.max(inked(gone), inked(come));
  for (const step of steps) {
    kept.push(step);
    while (kept.length > 2 && !("same" in kept.at(-1))) {
      const [before, between, after] = kept.slice(-3);
      if (inked(between.same) > Math.min(size(before), size(after))) break;
      const whole = (side) => before[side] + between.same + after[side];
      kept.splice(-3, 3, { gone: whole("gone"), come: whole("come") });
    }
  }
  return kept;
}

// The text as nodes; what `base` does not have is marked with `tag` ("ins" or "del").
function markedText(text, base, tag) {
  const shown = text.length > SHOWN_LIMIT ? text.slice(0, SHOWN_LIMIT) : text;
  const steps = base === null ? null : diffSteps(visible(base), visible(shown));
  const nodes = steps
    ? steps.flatMap((step) => ("same" in step ? step.same : markedPieces(step.come, tag)))
    : [visible(shown)];
  if (base !== null && !steps) nodes.unshift(h("p", { class: "unmarked" }, "Too long to mark the differences."));
  if (shown.length < text.length) nodes.push(moreButton(text));
  return nodes;
}

// Marks without the space around lines, so that no empty line is painted.
function markedPieces(text, tag) {
  if (!inked(text)) return text ? [h(tag, {}, text)] : [];
  return text
    .split(/(^\s+|\s*\n\s*|\s+$)/)
    .filter(Boolean)
    .map((piece) => (inked(piece) ? h(tag, {}, piece) : piece));
}

// Long texts are cut on the page; the button shows the whole text.
function moreButton(text) {
  const button = h("button", { class: "more", type: "button" }, `Show all ${countText(text.length)} characters`);
  button.addEventListener("click", () => button.parentElement.replaceChildren(visible(text)));
  return button;
}
