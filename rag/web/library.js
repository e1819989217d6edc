// The documents there are: list, switch collection, delete.

import { get, remove } from "./api.js";
import { announce, byId, el, showBanner } from "./dom.js";
import { bytes, count } from "./format.js";
import { openDocument } from "./viewer.js";

export class Library {
  constructor() {
    this.collection = null;
    this.documents = [];
    this.onSummarise = () => {};
    byId("collection").addEventListener("change", (event) => {
      this.collection = event.target.value;
      this.refresh();
    });
    const toggle = byId("library-toggle");
    toggle.addEventListener("click", () => this.showDrawer(!document.body.classList.contains("drawer")));
    byId("library-close").addEventListener("click", () => this.showDrawer(false));
    byId("library").addEventListener("keydown", (event) => event.key === "Escape" && this.showDrawer(false));
  }

  /** Fetch collections and documents, and show them. */
  async load() {
    const { default: fallback, collections } = await get("/v1/collections");
    this.collection ??= fallback;
    this.showCollections([...new Set([...collections.map((each) => each.name), this.collection])].sort());
    const found = await get(`/v1/documents?collection=${encodeURIComponent(this.collection)}`);
    this.documents = found.documents.sort((a, b) => b.added_at - a.added_at);
    this.show();
  }

  /** Show what there is now; when the server does not tell, say so and keep what is shown. */
  async refresh() {
    try {
      await this.load();
    } catch (error) {
      showBanner(error.message, "error");
    }
  }

  showCollections(names) {
    byId("collection-label").hidden = names.length < 2;
    byId("collection").replaceChildren(
      ...names.map((name) => el("option", { value: name, selected: name === this.collection }, name)));
  }

  show() {
    const total = this.documents.length;
    byId("library-count").textContent = total;
    byId("library-summary").textContent = total ? String(total) : "";
    byId("documents").replaceChildren(...this.documents.map((each) => this.row(each)));
    this.showWelcome(total);
  }

  showWelcome(total) {
    const welcome = byId("welcome");
    welcome.hidden = false;
    document.body.classList.toggle("no-documents", total === 0);
    if (total) {
      welcome.replaceChildren(el("h1", {}, "What do you want to know?"),
        el("p", {}, `Answers come from ${total === 1 ? "your one document" : `your ${total} documents`} alone, and each says where it was read.`));
      return;
    }
    const choose = el("button", { type: "button", class: "button primary" }, "Choose files");
    choose.addEventListener("click", () => byId("files").click());
    welcome.replaceChildren(el("h1", {}, "First, add some documents"),
      el("p", {}, "Drop files anywhere on this page, or choose them. They are read here, on this machine, and never leave it."),
      choose);
  }

  row(doc) {
    const facts = [
      doc.num_pages ? count(doc.num_pages, "page") : null, count(doc.num_chunks, "passage"), bytes(doc.num_bytes),
    ];
    const button = el("button",
      { type: "button", class: "icon-button delete", title: "Delete", "aria-label": `Delete ${doc.name}` }, "✕");
    button.addEventListener("click", () => this.confirmDelete(doc));
    const summarise = el("button",
      { type: "button", class: "link summarise", title: "What it says in the main", "aria-label": `Summarise ${doc.name}` },
      "Summarise");
    summarise.addEventListener("click", () => {
      if (document.body.classList.contains("drawer")) this.showDrawer(false);
      this.onSummarise(doc);
    });
    const open = el("button", { type: "button", class: "link title", title: doc.path }, el("strong", {}, doc.name));
    open.addEventListener("click", () => openDocument(doc));
    return el("li", {},
      el("div", { class: "title" }, open, el("span", { class: "quiet" }, `${facts.filter(Boolean).join(" · ")} · `, summarise)), button);
  }

  confirmDelete(doc) {
    const dialog = byId("confirm");
    byId("confirm-title").textContent = `Delete “${doc.name}”?`;
    byId("confirm-no").onclick = () => dialog.close();
    byId("confirm-yes").onclick = () => {
      dialog.close();
      this.delete(doc);
    };
    dialog.showModal();
  }

  async delete(doc) {
    try {
      await remove(`/v1/documents/${doc.id}?collection=${encodeURIComponent(doc.collection)}`);
      announce(`${doc.name} deleted`);
    } catch (error) {
      showBanner(`${doc.name}: ${error.message}`, "error");
    }
    await this.refresh();
  }

  showDrawer(open) {
    document.body.classList.toggle("drawer", open);
    byId("library-toggle").setAttribute("aria-expanded", String(open));
    (open ? byId("library-close") : byId("library-toggle")).focus();
  }
}
