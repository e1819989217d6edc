// A document's text, at a passage with its quote marked, or from its beginning.

import { get } from "./api.js";
import { byId, el } from "./dom.js";
import { place } from "./format.js";

const AROUND = 4000;
const BEGINNING = 20000;

/** The text that begins at `start`, with [from, to) as a `mark`; all in characters of the document. */
export function marked(text, start, from, to) {
  if (to <= from) return [text];
  const cut = cutter(text, start);
  return [cut(start, from), el("mark", {}, cut(from, to)), cut(to, Infinity)];
}

/** Open the document of a passage at the passage. */
export function openViewer(passage, quote) {
  const from = Math.max(0, passage.start - AROUND);
  return open(passage, passage.document_name, place(passage), from, passage.end + AROUND, (part) => {
    const cut = cutter(part.text, part.start);
    const { quote_start: begin = 0, quote_end: end = 0 } = quote ?? {};
    const here = el("span", { class: "here" }, ...marked(cut(passage.start, passage.end), passage.start, begin, end));
    return [cut(part.start, passage.start), here, cut(passage.end, Infinity)];
  });
}

/** Open a document at its beginning. */
export function openDocument(doc) {
  const source = { document_id: doc.id, collection: doc.collection };
  return open(source, doc.name, doc.title ?? "", 0, BEGINNING, (part) => [part.text]);
}

async function open({ document_id: id, collection }, title, subtitle, start, end, contentOf) {
  const text = byId("viewer-text");
  byId("viewer-title").textContent = title;
  byId("viewer-place").textContent = subtitle;
  text.replaceChildren("Opening…");
  byId("viewer").showModal();
  try {
    const query = new URLSearchParams({ collection, start, end });
    const part = await get(`/v1/documents/${id}/text?${query}`);
    text.replaceChildren(
      part.start > 0 ? "… " : "", ...contentOf(part), part.end < part.num_chars ? " …" : "");
    text.scrollTop = 0;
    text.querySelector("mark, .here")?.scrollIntoView({ block: "center" });
  } catch (error) {
    text.replaceChildren(el("p", { class: "error" }, error.message));
  }
}

/** Cuts by the server's positions, which count characters where JavaScript counts UTF-16 units. */
function cutter(text, start) {
  const characters = Array.from(text);
  return (from, to) => characters.slice(Math.max(0, from - start), Math.max(0, to - start)).join("");
}

export function startViewer() {
  const dialog = byId("viewer");
  byId("viewer-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
