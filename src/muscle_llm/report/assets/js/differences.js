// Differences by words, shown as marked text.

const DIFF_LIMIT = 20000; // characters a side; longer texts are shown without marks
const SHOWN_LIMIT = 20000; // characters shown at first

// Pieces of `text` against `base`: [piece, whether it is only in `text`]. Null where it would take too long.
function addedPieces(base, text) {
  if (base.length > DIFF_LIMIT || text.length > DIFF_LIMIT) return null;
  const parts = Diff.diffWordsWithSpace(base, text, { timeout: 150 });
  if (!parts) return null;
  return parts.filter((part) => !part.removed).map((part) => [part.value, Boolean(part.added)]);
}

// The text as nodes; what `base` does not have is marked with `tag` ("ins" or "del").
function markedText(text, base, tag) {
  const shown = text.length > SHOWN_LIMIT ? text.slice(0, SHOWN_LIMIT) : text;
  const pieces = base === null ? null : addedPieces(visible(base), visible(shown));
  const nodes = pieces
    ? pieces.map(([piece, only]) => (only ? h(tag, {}, piece) : piece))
    : [visible(shown)];
  if (shown.length < text.length) nodes.push(moreButton(text));
  return nodes;
}

// Long texts are cut on the page; the button shows the whole text.
function moreButton(text) {
  const button = h("button", { class: "more", type: "button" }, `Show all ${countText(text.length)} characters`);
  button.addEventListener("click", () => button.parentElement.replaceChildren(visible(text)));
  return button;
}
