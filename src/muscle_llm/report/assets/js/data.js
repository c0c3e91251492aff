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

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function unpack(base64) {
  const stream = new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

// A column in which each distinct text stands once. Null where the texts stand in the chunks only.
function textColumn(column) {
  if (!column) return null;
  const { values, codes } = column;
  const places = Int32Array.from(codes);
  return { values, codes: places, at: (row) => values[places[row]] };
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
    answer: mapped(packed.answer, textColumn),
    margin: mapped(packed.margin, numbers),
    score: mapped(packed.score, (versions) => mapped(versions, numbers)),
    slice: mapped(packed.slice, textColumn),
    cause: textColumn(packed.cause),
    reliable: textColumn(packed.reliable_flip),
  };
  index.change = mapped(index.score, (versions) =>
    versions.old && versions.new ? versions.new.map((value, row) => value - versions.old[row]) : null,
  );
  return index;
}

// Rows are addressed by id, and by id and repeat where answers were repeated.
const rowKey = (index, row) => (index.repeat ? `${index.id[row]}#${index.repeat[row]}` : index.id[row]);

// The long texts. `row(i)` waits for the chunk of a row, `peek(i)` does not; `loadAll` reads every chunk.
class Texts {
  constructor(index, sources) {
    this.index = index;
    this.sources = sources;
    this.asked = new Array(sources.length).fill(null);
    this.chunks = new Array(sources.length).fill(null);
    this.haystacks = new Array(sources.length).fill(null);
    this.loaded = 0;
    this.onchunk = () => {};
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

  chunk(k) {
    this.asked[k] ??= this.sources[k]().then((chunk) => {
      this.chunks[k] = chunk;
      this.onchunk();
      return chunk;
    });
    return this.asked[k];
  }

  // The value of a row in a column of its chunk, if the chunk is there; otherwise it is asked for.
  peek(row, column) {
    const k = this.chunkOf(row);
    if (this.chunks[k]) return column(this.chunks[k])?.[row - this.index.starts[k]] ?? null;
    this.chunk(k);
    return undefined;
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

  // All texts of a chunk in lower case, one after another, and where each row begins.
  makeHaystack(k, chunk) {
    const { starts, n, id } = this.index;
    const end = k + 1 < starts.length ? starts[k + 1] : n;
    const columns = [chunk.prompt, ...Object.values(chunk.answer ?? {}), ...Object.values(chunk.output ?? {})];
    const lists = columns.filter(Boolean);
    const begins = new Uint32Array(end - starts[k] + 1);
    const parts = [];
    let length = 0;
    for (let row = starts[k]; row < end; row++) {
      const at = row - starts[k];
      let text = id[row];
      for (const list of lists) if (list[at]) text += `\n${list[at]}`;
      for (const reference of chunk.references?.[at] ?? []) if (reference) text += `\n${reference}`;
      const lower = `${text.toLowerCase()}\n`;
      parts.push(lower);
      length += lower.length;
      begins[at + 1] = length;
    }
    this.haystacks[k] = { text: parts.join(""), begins };
  }

  async loadAll() {
    for (let k = 0; k < this.sources.length; k++) {
      this.makeHaystack(k, await this.chunk(k));
      this.loaded = k + 1;
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  get complete() {
    return this.loaded === this.sources.length;
  }

  // What has to be waited for before `find`.
  async ask() {}

  // Marks the rows whose texts hold the query (in lower case).
  find(query) {
    const found = new Uint8Array(this.index.n);
    this.haystacks.forEach((haystack, k) => {
      if (!haystack) return;
      const { text, begins } = haystack;
      const first = this.index.starts[k];
      let row = 0;
      for (let at = text.indexOf(query); at >= 0; at = text.indexOf(query, begins[row + 1])) {
        while (begins[row + 1] <= at) row++;
        found[first + row] = at + query.length <= begins[row + 1] ? 1 : found[first + row];
      }
    });
    return found;
  }
}

// Texts too large to keep: the server searches them, and only the last chunks stay here.
const KEPT_CHUNKS = 80;

class ServedTexts extends Texts {
  constructor(index, sources) {
    super(index, sources);
    this.recent = [];
    this.hits = new Map();
  }

  chunk(k) {
    this.recent = [...this.recent.filter((other) => other !== k), k];
    if (this.recent.length > KEPT_CHUNKS) {
      const old = this.recent.shift();
      this.chunks[old] = this.asked[old] = null;
    }
    return super.chunk(k);
  }

  async loadAll() {}

  get complete() {
    return true;
  }

  async ask(query) {
    if (this.hits.has(query)) return;
    const rows = await (await fetch(`search?q=${encodeURIComponent(query)}`)).json();
    const found = new Uint8Array(this.index.n);
    for (const row of rows) found[row] = 1;
    this.hits.clear();
    this.hits.set(query, found);
  }

  find(query) {
    return this.hits.get(query) ?? new Uint8Array(this.index.n);
  }
}

const documentRead = new Promise((done) =>
  document.readyState === "loading" ? addEventListener("DOMContentLoaded", done, { once: true }) : done(),
);

// The texts stand behind this script, so that the list can be shown before the browser has read them; a served
// page asks its server for each chunk when it is needed.
async function openData() {
  const index = readIndex(await unpack(element("index").textContent));
  const inline = (k) => async () => {
    if (!element(`chunk-${k}`)) await documentRead;
    const script = element(`chunk-${k}`);
    const chunk = await unpack(script.textContent);
    script.remove();
    return chunk;
  };
  const fetched = (k) => async () => (await fetch(`chunk-${k}`)).json();
  const sources = index.starts.map((_, k) => (vocabulary.served ? fetched(k) : inline(k)));
  return { index, texts: vocabulary.served ? new ServedTexts(index, sources) : new Texts(index, sources) };
}
