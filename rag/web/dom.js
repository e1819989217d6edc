// Building the page: text goes in as text; the one way in for HTML is for what the server has cleaned.

const cleaned = window.trustedTypes?.createPolicy("cleaned-by-server", { createHTML: (html) => html });

/** An element with properties, and children that are elements or plain text. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show HTML that came in an `html` event, which the server has cleaned. */
export function showCleaned(element, html) {
  element.innerHTML = cleaned ? cleaned.createHTML(html) : html;
}

export const byId = (id) => document.getElementById(id);

/** Show a line across the page; `kind` is "error" or "waiting". */
export function showBanner(text, kind) {
  const banner = byId("banner");
  banner.textContent = text;
  banner.className = `banner ${kind}`;
  banner.hidden = false;
}

/** Say something to a screen reader. */
export function announce(text) {
  byId("announce").textContent = text;
}
