// Building the page out of elements: data only ever becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";
// Characters that could reorder or hide text are shown as escapes.
const TRICKY = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

export function plain(value) {
  return String(value ?? "").replace(TRICKY, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : plain(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(plain(child)));
  }
  return element;
}

export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function json(value, indent = 0) {
  const text = JSON.stringify(value, null, indent);
  return plain(text === undefined ? "" : text);
}

export function short(text, length) {
  return text.length <= length ? text : text.slice(0, length - 1) + "…";
}

export function duration(seconds) {
  if (seconds < 0) return "−" + duration(-seconds);
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const units = [[60, "min", 1, "s"], [3600, "h", 60, "min"], [86400, "d", 3600, "h"]];
  const [size, unit, part, name] = units[seconds < 3600 ? 0 : seconds < 86400 ? 1 : 2];
  const whole = Math.floor(seconds / size), rest = Math.floor((seconds - whole * size) / part);
  return rest ? `${whole} ${unit} ${rest} ${name}` : `${whole} ${unit}`;
}

export function between(begin, end) {
  return (Date.parse(end) - Date.parse(begin)) / 1000;
}

export function elapsed(seconds) {
  const sign = seconds < 0 ? "−" : "+", ms = Math.round(Math.abs(seconds) * 1000);
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(ms / 3600000), minutes = Math.floor(ms / 60000) % 60, s = Math.floor(ms / 1000) % 60;
  if (hours >= 24) return `${sign}${Math.floor(hours / 24)}d ${two(hours % 24)}:${two(minutes)}:${two(s)}`;
  return `${sign}${hours}:${two(minutes)}:${two(s)}.${String(ms % 1000).padStart(3, "0")}`;
}

export function clock(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? plain(iso) : date.toLocaleString(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  });
}

export function bytes(count) {
  if (count === null || count === undefined) return "?";
  const units = ["B", "KiB", "MiB", "GiB"];
  let size = count, unit = 0;
  while (size >= 1024 && unit < 3) { size /= 1024; unit += 1; }
  return `${unit ? size.toFixed(1) : size} ${units[unit]}`;
}

export function statusPill(status) {
  return h("span", { class: `pill ${plain(status)}` }, plain(status).replaceAll("_", " "));
}
