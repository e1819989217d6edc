// The question box: ask, stop, and the keys that do both.

import { Answer } from "./answer.js";
import { Conversation } from "./conversation.js";
import { announce, byId } from "./dom.js";
import { Summary } from "./summary.js";

export class AskBox {
  constructor(library) {
    this.library = library;
    library.onSummarise = (doc) => this.summarise(doc);
    this.current = null;
    this.box = byId("question");
    this.conversation = new Conversation(() => this.box.focus());
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
    byId("stop-button").addEventListener("click", () => this.stop());
    this.box.addEventListener("input", () => this.grow());
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.ask();
    });
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  async ask() {
    const question = this.box.value.trim();
    if (!question || this.current) return;
    const { collection } = this.library;
    const answer = new Answer(question, collection, this.conversation.about(collection), byId("quote").checked);
    this.box.value = "";
    this.grow();
    announce("Searching your documents");
    const said = await this.show(answer);
    if (said !== null) this.conversation.add(question, said);
  }

  /** Summarise a document; a question that is being answered comes first. */
  async summarise(doc) {
    if (this.current) return;
    announce(`Reading ${doc.name}`);
    await this.show(new Summary(doc));
  }

  /** Put an answer on the page and wait for its end; resolves to what was said. */
  async show(answer) {
    this.current = answer;
    this.showBusy(true);
    byId("answers").prepend(answer.root);
    document.body.classList.add("asked");
    const said = await answer.run();
    this.current = null;
    this.showBusy(false);
    return said;
  }

  stop() {
    this.current?.stop();
    this.box.focus();
  }

  onKey(event) {
    if (event.altKey && event.code === "KeyN" && !this.current && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      this.conversation.begin();
    }
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "Escape" && this.current && !document.querySelector("dialog[open]")) this.stop();
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      this.box.focus();
    }
  }

  showBusy(busy) {
    byId("ask-button").hidden = busy;
    byId("stop-button").hidden = !busy;
    document.body.classList.toggle("busy", busy);
  }

  grow() {
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight, 220)}px`;
  }
}
