// Definitions on hover, on keyboard focus and on tap; and the choice of light or dark.

function setUpTips() {
  const tip = element("tip");
  const show = (target) => {
    const known = vocabulary.terms[target.dataset.term];
    if (!known) return;
    const [label, text, formula] = known;
    tip.replaceChildren(h("b", {}, label), h("p", {}, text), formula ? h("code", {}, formula) : "");
    tip.hidden = false;
    target.setAttribute("aria-describedby", "tip");
    const at = target.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.left, innerWidth - size.width - 8));
    const below = at.bottom + 6 + size.height < innerHeight;
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? at.bottom + 6 : at.top - size.height - 6}px`;
  };
  const hide = () => {
    tip.hidden = true;
    for (const target of $$("[aria-describedby=tip]")) target.removeAttribute("aria-describedby");
  };
  // Asked of the document, since tables are drawn again.
  for (const [come, go] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
    addEventListener(come, ({ target }) => target.closest?.("[data-term]") && show(target.closest("[data-term]")));
    addEventListener(go, ({ target }) => target.closest?.("[data-term]") && hide());
  }
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
  addEventListener("scroll", hide, { passive: true });
}

function setUpTheme() {
  const button = element("theme");
  const themes = ["auto", "light", "dark"];
  const labels = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = labels[theme];
    button.dataset.theme = theme;
  };
  button.addEventListener("click", () => apply(themes[(themes.indexOf(button.dataset.theme) + 1) % themes.length]));
  button.hidden = false;
  apply("auto");
}

// The table starts with the figures that decide; the others fold out.
function setUpFigures() {
  const button = element("all-figures");
  if (!button) return;
  const table = $("table.figures");
  const fold = (folded) => {
    table.classList.toggle("folded", folded);
    button.textContent = folded ? "Show all figures" : "Show fewer figures";
    button.setAttribute("aria-expanded", folded ? "false" : "true");
  };
  button.hidden = false;
  button.addEventListener("click", () => fold(!table.classList.contains("folded")));
  fold(true);
}
