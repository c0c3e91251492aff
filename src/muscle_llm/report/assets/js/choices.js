// The choices of an instance: which one is right, which one each version took, and how likely it found each.

const letterOf = (k) => (k < 26 ? String.fromCharCode(65 + k) : String(k + 1));

// Which choices a text names: by its words; if none has these, by its letter; else by its place, counted from 0.
function namedChoices(choices, text) {
  if (text === null || text === undefined) return [];
  const places = choices.map((_, k) => k);
  for (const name of [(k) => choices[k], letterOf, String]) {
    const named = places.filter((k) => name(k) === text);
    if (named.length) return named;
  }
  return [];
}

function choiceTable(index, row, texts) {
  const { choices, choiceScores } = texts;
  const scored = index.versions.some((version) => choiceScores[version]?.some(Number.isFinite));
  const taken = (version) => new Set(namedChoices(choices, texts.answer[version]));
  const versions = index.versions.filter((version) => (scored ? choiceScores[version] : taken(version).size));
  const right = new Set((texts.references ?? []).flatMap((reference) => namedChoices(choices, reference)));
  const cell = scored ? scoreCell(versions, choiceScores) : takenCell(index, row, versions.map(taken), versions);
  const line = (choice, k) =>
    h("tr", { class: right.has(k) ? "right" : null },
      h("th", { scope: "row" }, h("span", { class: "slot" }, right.has(k) ? rightMark(1, "reference: ") : ""),
        h("span", { class: "letter" }, letterOf(k)), h("span", {}, visible(choice ?? ""))),
      versions.map((version) => cell(version, k)));
  return h("div", { class: `choices${scored ? " scored" : ""}`, tabindex: "0", role: "region", "aria-label": "Choices" },
    h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, scored ? "Choice, log-likelihood" : "Choice"),
        versions.map((version) => h("th", { scope: "col" }, visible(versionName(version)))))),
      h("tbody", {}, choices.map(line))));
}

// Log-likelihoods as bars on one scale for all versions.
function scoreCell(versions, choiceScores) {
  const finite = versions.flatMap((version) => choiceScores[version]).filter(Number.isFinite);
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low || 1;
  return (version, k) => {
    const scores = choiceScores[version];
    const best = Math.max(...scores.filter(Number.isFinite));
    const bar = h("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = Number.isFinite(scores[k]) ? `${8 + (92 * (scores[k] - low)) / span}%` : "0";
    return h("td", { class: scores[k] === best ? "chosen" : null },
      h("span", { class: "track" }, bar), h("span", { class: "value" }, numberText(scores[k], 2)));
  };
}

// A mark where a version answered with this choice.
function takenCell(index, row, taken, versions) {
  return (version, k) =>
    h("td", {}, taken[versions.indexOf(version)].has(k)
      ? [rightMark(index.correct[version]?.[row], "answered, "), h("span", { class: "took" }, "answered")]
      : null);
}
