// Elements and numbers. Every text reaches the page through a text node: no markup is ever parsed here.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// Makes an element: h("button", {class: "x", onclick: f, "aria-pressed": true}, "text", child, ...).
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, String(value));
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

const MINUS = "\u2212";
const grouped = new Intl.NumberFormat("en-US");
const countText = (value) => (Number.isFinite(value) ? grouped.format(value) : "\u2013");
const signedText = (value, digits) =>
  Number.isFinite(value) ? (value > 0 ? "+" : "") + value.toFixed(digits).replace("-", MINUS) : "\u2013";
const shareText = (value, digits = 1) =>
  Number.isFinite(value) ? (100 * value).toFixed(digits).replace("-", MINUS) + "\u00a0%" : "\u2013";
const numberText = (value, digits = 3) =>
  Number.isFinite(value) ? value.toFixed(digits).replace("-", MINUS) : "\u2013";

// Characters that would hide or reorder text are shown by name. Line breaks and tabs stay.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

function visible(text) {
  return text.replace(/\r\n/g, "\n").replace(HIDDEN, (character) => {
    const code = character.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    return `\u2039U+${code.toString(16).toUpperCase().padStart(4, "0")}\u203a`;
  });
}

// One line of a text, for lists.
const oneLine = (text, limit = 140) => visible(text.slice(0, limit)).replace(/\s+/g, " ").trim();

function element(id) {
  return document.getElementById(id);
}

function readJson(id) {
  return JSON.parse(element(id).textContent);
}

// Calls back with the width of an element now and whenever it changes.
function onWidth(target, draw) {
  let last = 0;
  new ResizeObserver(() => {
    const width = Math.floor(target.clientWidth);
    if (width && width !== last) draw((last = width));
  }).observe(target);
}

const NARROW = innerWidth < 700; // a phone: lists show less
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
