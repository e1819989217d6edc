// What was said so far: a follow-up question is understood from it.

import { announce, byId, el } from "./dom.js";

const LONGEST = 20;

export class Conversation {
  constructor(onNew) {
    this.onNew = onNew;
    this.turns = [];
    this.collection = null;
    this.button = byId("new-conversation");
    this.button.addEventListener("click", () => this.begin());
  }

  /** The turns that go with a question about a collection; another collection is another conversation. */
  about(collection) {
    if (this.collection !== collection && this.turns.length) this.begin();
    this.collection = collection;
    return this.turns.slice(-LONGEST);
  }

  /** Take note of a finished answer. */
  add(question, answer) {
    this.turns.push({ question, answer });
    this.button.hidden = false;
  }

  /** Forget what was said; the answers stay on the page, below a line. */
  begin() {
    if (!this.turns.length) return;
    this.turns = [];
    this.button.hidden = true;
    byId("answers").prepend(el("p", { class: "divider", role: "separator" }, "Earlier conversation"));
    announce("A new conversation");
    this.onNew();
  }
}
