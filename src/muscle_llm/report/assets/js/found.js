// Marks the words searched for in the chosen instance, by the browser's own highlights: the texts stay as they are.

function showFound(container, search) {
  if (!CSS.highlights) return; // an older browser marks nothing
  CSS.highlights.delete("found");
  const query = visible(search).toLowerCase();
  if (!query) return;
  const found = $$(".model-text, h3 .id", container).flatMap((text) => placesOf(text, query));
  if (found.length) CSS.highlights.set("found", new Highlight(...found));
}

// Where a text has the query, across the marks inside it, as ranges; the box is scrolled to the first.
function placesOf(element, query) {
  const nodes = [];
  const walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let whole = "";
  while (walk.nextNode()) {
    nodes.push([walk.currentNode, whole.length]);
    whole += walk.currentNode.data;
  }
  const low = whole.toLowerCase();
  if (low.length !== whole.length) return []; // a letter that changes its length: places would be off
  const ranges = [];
  const point = (at) => {
    const [node, start] = nodes.findLast(([, start]) => start <= at);
    return [node, at - start];
  };
  for (let at = low.indexOf(query); at >= 0 && ranges.length < 500; at = low.indexOf(query, at + query.length)) {
    const range = new Range();
    range.setStart(...point(at));
    range.setEnd(...point(at + query.length));
    ranges.push(range);
  }
  if (ranges.length && element.scrollHeight > element.clientHeight) {
    const line = ranges[0].getBoundingClientRect();
    element.scrollTop += line.top - element.getBoundingClientRect().top - element.clientHeight / 3;
  }
  return ranges;
}
