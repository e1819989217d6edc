// The passages of an answer as cards: those it cites first, then those that were only read.

import { el } from "./dom.js";
import { count, percent, place } from "./format.js";
import { marked, openViewer } from "./viewer.js";

const MARKS = {
  verified: { text: "✓ Verified", title: "The marked words support what the answer says, and every number and name in it" },
  unchecked: { text: "Cited", title: "The marked words say it; whether they answer the question could not be checked" },
  unfound: { text: "Not found here", title: "Something of what the answer says does not stand in this passage" },
};

export class Sources {
  constructor() {
    this.cards = new Map();
    this.nearest = false;
    this.cited = el("div", { class: "cards" });
    this.read = el("div", { class: "cards" });
    this.citedHead = el("h3", { hidden: true }, "Cited");
    this.readSummary = el("summary", {}, "Read");
    this.readBox = el("details", { class: "read" }, this.readSummary, this.read);
    this.root = el("section", { class: "sources", hidden: true, "aria-label": "Sources" },
      this.citedHead, this.cited, this.readBox);
  }

  /** Show the passages that the answer is being made from. */
  showRetrieved(passages) {
    this.root.hidden = passages.length === 0;
    for (const passage of passages) {
      const card = new Card(passage);
      this.cards.set(passage.number, card);
      this.read.append(card.root);
    }
    this.count();
  }

  /** Move a passage to those cited, and mark what supports the citation. */
  cite(citation) {
    const card = this.cards.get(citation.number);
    if (!card) return;
    card.cite(citation);
    const after = [...this.cited.children].find((other) => Number(other.dataset.number) > citation.number);
    if (card.root.parentNode !== this.cited) this.cited.insertBefore(card.root, after ?? null);
    this.count();
  }

  /** Settle on the citations of the finished answer. */
  settle(citations) {
    for (const citation of citations) this.cite(citation);
  }

  /** Show the card of a passage. */
  open(number) {
    const card = this.cards.get(number);
    if (!card) return;
    if (card.root.closest("details")) this.readBox.open = true;
    for (const other of this.cards.values()) other.root.classList.toggle("current", other === card);
    card.expand(true);
    card.root.scrollIntoView({ block: "nearest", behavior: "smooth" });
    card.root.focus({ preventScroll: true });
  }

  /** Show what comes nearest to a question that is not answered, or not for sure. */
  suggest(nearest) {
    if (!nearest.length) return;
    for (const near of nearest) this.cards.get(near.number)?.mark(near);
    this.nearest = true;
    this.readBox.open = true;
    this.count();
  }

  count() {
    this.citedHead.hidden = this.cited.children.length === 0;
    const only = this.read.children.length;
    this.readBox.hidden = only === 0;
    if (this.nearest && !this.cited.children.length) this.readSummary.textContent = "Nearest passages";
    else this.readSummary.textContent = this.cited.children.length
      ? `${count(only, "more passage")} read, not cited` : `${count(only, "passage")} read`;
  }
}

/** What is known of a citation: one of `MARKS`, which stand best first. */
function markOf({ verified, found }) {
  return verified ? "verified" : found ? "unchecked" : "unfound";
}

class Card {
  constructor(passage) {
    this.passage = passage;
    this.citation = null;
    this.near = null;
    this.badge = el("span", { class: "badge" });
    this.text = el("blockquote", { class: "passage" });
    this.more = el("button", { type: "button", class: "link" }, "Show all");
    this.more.addEventListener("click", () => this.expand(!this.root.classList.contains("open")));
    const open = el("button", { type: "button", class: "link" }, "Open in document");
    open.addEventListener("click", () => openViewer(passage, this.citation ?? this.near));
    this.root = el("article", { class: "card", tabIndex: -1, "aria-label": `Source ${passage.number}` },
      this.head(), this.text, el("footer", {}, this.more, open));
    this.root.dataset.number = passage.number;
    this.showText();
  }

  head() {
    const { number, document_name: name, score } = this.passage;
    // A passage that no search found has no score.
    const match = score
      ? el("span", { class: "score", title: "How well the passage matches the question" }, percent(score)) : null;
    return el("header", {},
      el("span", { class: "number", "aria-hidden": "true" }, String(number)),
      el("div", { class: "title" },
        el("strong", { title: name }, name), el("span", { class: "quiet" }, place(this.passage))),
      el("div", { class: "marks" }, match, this.badge));
  }

  cite(citation) {
    const best = Object.keys(MARKS);
    if (!this.citation || best.indexOf(markOf(citation)) < best.indexOf(markOf(this.citation))) this.citation = citation;
    const mark = markOf(this.citation);
    this.badge.className = `badge ${mark}`;
    this.badge.textContent = MARKS[mark].text;
    this.badge.title = MARKS[mark].title + (mark === "verified" ? `: ${percent(this.citation.support)} sure.` : ".");
    this.root.classList.add("cited");
    this.showText();
  }

  /** Mark what of the passage comes nearest to the question, unless the answer cites it. */
  mark(near) {
    this.near = near;
    this.showText();
  }

  /** The passage with the quote marked; folded, it begins shortly before the quote. */
  showText() {
    const { text, start } = this.passage;
    const { quote_start: from = 0, quote_end: to = 0 } = this.citation ?? this.near ?? {};
    const open = this.root.classList.contains("open");
    const lead = open || to <= from ? 0 : Math.max(0, from - start - 80);
    const shown = Array.from(text).slice(lead).join("");
    this.text.replaceChildren(lead ? "… " : "", ...marked(shown, start + lead, from, to));
    this.more.hidden = text.length < 260;
  }

  expand(open) {
    this.root.classList.toggle("open", open);
    this.more.textContent = open ? "Show less" : "Show all";
    this.showText();
  }
}
