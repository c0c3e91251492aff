// Taking instances away: one as Markdown, all filtered ones as JSON lines, the view as a link.

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "offscreen", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

// A fence longer than any run of backticks inside, so that no text can end it.
function fenced(text) {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((m) => m[0].length));
  const fence = "`".repeat(longest + 1);
  return `${fence}text\n${visible(text)}\n${fence}`;
}

const inlineCode = (text) => "`" + visible(text).replace(/`/g, "'").replace(/\s+/g, " ") + "`";

function instanceMarkdown(index, row, texts) {
  const lines = [`### ${quadrantLabel(index.quadrant[row])}: ${inlineCode(index.id[row])}`, ""];
  if (texts.prompt) lines.push("**Prompt**", "", fenced(texts.prompt), "");
  if (texts.references?.length) lines.push(`**Reference:** ${texts.references.map((r) => inlineCode(r ?? "")).join(", ")}`, "");
  for (const version of index.versions) {
    const flag = index.correct[version]?.[row];
    const word = flag === 1 ? " (right)" : flag === 0 ? " (wrong)" : "";
    const text = texts.output[version] ?? texts.answer[version];
    if (text === null || text === undefined) continue;
    const answer = texts.output[version] && texts.answer[version] ? `, answer ${inlineCode(texts.answer[version])}` : "";
    lines.push(`**${inlineCode(versionName(version))}**${word}${answer}`, "", fenced(text), "");
  }
  return lines.join("\n");
}

async function instanceRecord(index, row, texts) {
  const known = await texts.row(row);
  const flag = (version) => ({ 0: false, 1: true })[index.correct[version]?.[row]] ?? null;
  return {
    id: index.id[row],
    ...(index.repeat ? { repeat: index.repeat[row] } : {}),
    kind: index.quadrant[row] === UNKNOWN ? null : quadrantName(index.quadrant[row]),
    prompt: known.prompt,
    references: known.references,
    choices: known.choices,
    slices: Object.fromEntries(Object.entries(index.slice).map(([name, column]) => [name, column.at(row)])),
    versions: Object.fromEntries(
      index.versions.map((version) => [
        version,
        {
          name: versionName(version),
          correct: flag(version),
          answer: known.answer[version] ?? null,
          output: known.output[version] ?? null,
          choice_scores: known.choiceScores[version] ?? null,
          scores: Object.fromEntries(
            Object.entries(index.score)
              .filter(([, versions]) => versions[version])
              .map(([name, versions]) => [name, Number.isFinite(versions[version][row]) ? versions[version][row] : null]),
          ),
        },
      ]),
    ),
  };
}

async function downloadJsonl(index, rows, texts) {
  const parts = [];
  for (const row of rows) parts.push(JSON.stringify(await instanceRecord(index, row, texts)) + "\n");
  const address = URL.createObjectURL(new Blob(parts, { type: "application/jsonl" }));
  h("a", { href: address, download: "instances.jsonl" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
