// The data: the comparison document, the index of all rows, and the texts, chunk after chunk.

const comparison = readJson("comparison");
const vocabulary = readJson("vocabulary");

const QUADRANT = Object.fromEntries(vocabulary.quadrants.map(([name], code) => [name, code]));
const UNKNOWN = vocabulary.quadrants.length;
const quadrantName = (code) => vocabulary.quadrants[code]?.[0] ?? "unknown";
const quadrantLabel = (code) => vocabulary.quadrants[code]?.[1] ?? "Not known";

const versionName = (version) =>
  version === "old" ? comparison.old.name : version === "new" ? comparison.new.name : version;
const versionRole = (version) => comparison.candidates?.[version]?.role ?? version;

async function unpack(base64) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// A column that may hold each text once (values and codes) or plainly.
function textColumn(column, size) {
  if (!column) return { at: () => null, codes: null, values: null };
  if (Array.isArray(column)) return { at: (row) => column[row], codes: null, values: null, plain: column };
  const { values, codes } = column;
  return { at: (row) => values[codes[row]], codes: Int32Array.from(codes), values, size };
}

const numbers = (list) => Float64Array.from(list, (value) => (value === null ? NaN : value));
const digits = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0) - 48);

// Turns the packed index into columns that are quick to filter and to order.
function readIndex(packed) {
  const n = packed.n;
  const mapped = (object, read) =>
    Object.fromEntries(Object.entries(object ?? {}).map(([key, value]) => [key, read(value)]));
  const index = {
    n,
    total: packed.total,
    versions: packed.versions,
    starts: packed.chunks,
    id: packed.id,
    repeat: packed.repeat ?? null,
    prompt: packed.prompt,
    quadrant: digits(packed.quadrant),
    // 1 right, 0 wrong, anything else not known
    correct: mapped(packed.correct, digits),
    answer: mapped(packed.answer, (column) => textColumn(column, n)),
    margin: mapped(packed.margin, numbers),
    score: mapped(packed.score, (versions) => mapped(versions, numbers)),
    slice: mapped(packed.slice, (column) => textColumn(column, n)),
    cause: packed.cause ? textColumn(packed.cause, n) : null,
  };
  index.change = mapped(index.score, (versions) =>
    versions.old && versions.new ? versions.new.map((value, row) => value - versions.old[row]) : null,
  );
  return index;
}

// Rows are addressed by id, and by id and repeat where answers were repeated.
const rowKey = (index, row) => (index.repeat ? `${index.id[row]}#${index.repeat[row]}` : index.id[row]);

// The long texts. `row(i)` waits for the chunk of a row; `loadAll` reads every chunk in idle time.
class Texts {
  constructor(index, sources) {
    this.index = index;
    this.sources = sources;
    this.chunks = new Array(sources.length).fill(null);
    this.haystack = new Array(index.n).fill(null);
    this.loaded = 0;
  }

  chunkOf(row) {
    const starts = this.index.starts;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async chunk(k) {
    if (!this.chunks[k]) this.chunks[k] = this.sources[k]();
    return this.chunks[k];
  }

  async row(row) {
    const k = this.chunkOf(row);
    const chunk = await this.chunk(k);
    const at = row - this.index.starts[k];
    const byVersion = (columns) =>
      Object.fromEntries(Object.entries(columns ?? {}).map(([version, list]) => [version, list[at]]));
    return {
      prompt: chunk.prompt?.[at] ?? null,
      references: chunk.references?.[at] ?? null,
      choices: chunk.choices?.[at] ?? null,
      answer: byVersion(chunk.answer),
      output: byVersion(chunk.output),
      choiceScores: byVersion(chunk.choice_scores),
    };
  }

  // Lower-case text of every row, for the search.
  indexChunk(k, chunk) {
    const { starts, n, id } = this.index;
    const end = k + 1 < starts.length ? starts[k + 1] : n;
    const lists = [
      chunk.prompt,
      ...Object.values(chunk.answer ?? {}),
      ...Object.values(chunk.output ?? {}),
    ].filter(Boolean);
    for (let row = starts[k]; row < end; row++) {
      const at = row - starts[k];
      const parts = [id[row]];
      for (const list of lists) if (list[at]) parts.push(list[at]);
      for (const reference of chunk.references?.[at] ?? []) if (reference) parts.push(reference);
      this.haystack[row] = parts.join("\n").toLowerCase();
    }
  }

  async loadAll(progress) {
    for (let k = 0; k < this.sources.length; k++) {
      this.indexChunk(k, await this.chunk(k));
      this.loaded = k + 1;
      progress?.(this.loaded, this.sources.length);
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  get complete() {
    return this.loaded === this.sources.length;
  }
}

async function openData() {
  const index = readIndex(await unpack(element("index").textContent));
  const sources = $$("script.chunk").map((script) => async () => {
    const chunk = await unpack(script.textContent);
    script.remove();
    return chunk;
  });
  return { index, texts: new Texts(index, sources) };
}
