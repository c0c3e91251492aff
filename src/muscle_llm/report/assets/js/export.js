// Taking instances away: one as Markdown, all shown ones as a file.

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

// What the shown instances can be saved as: a name, a type, and a way to write them.
const EXPORTS = {
  jsonl: ["application/jsonl", async (index, rows, texts) => jsonLines(await allRecords(index, rows, texts))],
  csv: ["text/csv", async (index, rows, texts) => csvTable(await allRecords(index, rows, texts))],
  ids: ["text/plain", (index, rows) => [...new Set([...rows].map((row) => index.id[row]))].join("\n") + "\n"],
};

async function allRecords(index, rows, texts) {
  const records = [];
  for (const row of rows) records.push(await instanceRecord(index, row, texts));
  return records;
}

const jsonLines = (records) => records.map((record) => JSON.stringify(record) + "\n").join("");

// A table for spreadsheets: one line per instance, one column per version and kind of value.
function csvTable(records) {
  const flat = records.map((record) => {
    const line = { id: record.id };
    if ("repeat" in record) line.repeat = record.repeat;
    Object.assign(line, { kind: record.kind, prompt: record.prompt, reference: record.references?.join("\n") });
    for (const [name, value] of Object.entries(record.slices)) line[`slice:${name}`] = value;
    for (const [version, { correct, answer, output, scores }] of Object.entries(record.versions)) {
      Object.assign(line, { [`correct:${version}`]: correct, [`answer:${version}`]: answer, [`output:${version}`]: output });
      for (const [name, score] of Object.entries(scores)) line[`score:${name}:${version}`] = score;
    }
    return line;
  });
  const columns = Object.keys(flat[0] ?? { id: "" });
  const lines = [columns, ...flat.map((line) => columns.map((column) => line[column]))];
  return lines.map((cells) => cells.map(csvCell).join(",") + "\r\n").join("");
}

// A text that a spreadsheet would run as a formula gets an apostrophe in front; plain numbers do not.
function csvCell(value) {
  let text = String(value ?? "");
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text) && !/^[+-]?[\d.]+$/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

async function download(kind, index, rows, texts) {
  const [type, write] = EXPORTS[kind];
  const address = URL.createObjectURL(new Blob([await write(index, rows, texts)], { type }));
  h("a", { href: address, download: kind === "ids" ? "ids.txt" : `instances.${kind}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function setUpExport(index, texts, rows) {
  for (const button of $$("[data-export]"))
    button.addEventListener("click", async () => {
      const shown = rows();
      await download(button.dataset.export, index, shown, texts);
      announce(`Saved ${countText(shown.length)} ${shown.length === 1 ? "instance" : "instances"}`);
    });
}
