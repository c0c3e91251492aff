// The quadrants: a click filters the list, a second one takes the filter away.

function setUpQuadrants() {
  const buttons = $$("[data-kinds]");
  for (const button of buttons)
    button.addEventListener("click", () => state.toggleKind(button.dataset.kinds.split(" ")));
  const n = comparison.counts.rows ?? comparison.counts.n; // of repeated answers each row counts
  for (const bar of $$(".quadrants [data-count]")) bar.style.width = `${(100 * Number(bar.dataset.count)) / n}%`;
  state.listen(({ kinds }) => {
    for (const button of buttons) {
      const on = button.dataset.kinds.split(" ").every((name) => kinds.includes(name));
      button.setAttribute("aria-pressed", on ? "true" : "false");
    }
  });
}
