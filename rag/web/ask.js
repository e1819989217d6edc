// The question box: ask, stop, and the keys that do both.

import { Answer } from "./answer.js";
import { Conversation } from "./conversation.js";
import { announce, byId } from "./dom.js";

export class AskBox {
  constructor(library) {
    this.library = library;
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
    this.current = answer;
    this.box.value = "";
    this.grow();
    this.showBusy(true);
    byId("answers").prepend(answer.root);
    document.body.classList.add("asked");
    announce("Searching your documents");
    const said = await answer.run();
    if (said !== null) this.conversation.add(question, said);
    this.current = null;
    this.showBusy(false);
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
  }

  grow() {
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight, 220)}px`;
  }
}
