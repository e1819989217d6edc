// One question and its answer, as it grows.

import { events } from "./api.js";
import { announce, el, showCleaned } from "./dom.js";
import { cost, count } from "./format.js";
import { Sources } from "./sources.js";

const ENDINGS = { cancelled: "Stopped", length: "Cut off at the longest answer allowed", deadline: "Cut off at the time allowed" };

const CITED = "It stands in its source; whether it answers the question could not be checked.";
const NOT_FOUND = "What it says was not found in the passages: read them before relying on it.";

const APPROACHES = { list: "List", comparison: "Comparison", table: "From a table", summary: "Summary" };

/** Whether each stretch of the answer that is cited for stands in one of the passages that it cites. */
function isFound(citations) {
  const stretch = (each) => `${each.answer_start}-${each.answer_end}`;
  const found = new Set(citations.filter((each) => each.found).map(stretch));
  return citations.length > 0 && citations.every((each) => found.has(stretch(each)));
}

export class Answer {
  constructor(question, collection, history, quote) {
    this.question = question;
    this.quote = quote;
    this.collection = collection;
    this.history = history;
    this.said = null;
    this.stopper = new AbortController();
    this.sources = new Sources();
    this.searched = el("p", { class: "searched quiet", hidden: true });
    this.status = el("p", { class: "status" }, el("span", { class: "dot", "aria-hidden": "true" }), "Searching your documents…");
    this.text = el("div", { class: "answer-text" });
    this.note = el("p", { class: "note", hidden: true });
    this.cost = el("p", { class: "cost quiet", hidden: true });
    this.root = el("article", { class: "exchange streaming", "aria-busy": "true" },
      el("div", { class: "columns" },
        el("div", { class: "answer" }, el("h2", {}, question), this.searched, this.status, this.text, this.note, this.cost),
        this.sources.root));
    this.root.classList.toggle("quoted", quote);
    this.text.addEventListener("click", (event) => this.openSource(event.target.closest(".chip")));
  }

  /** Run to the end: done, stopped or failed; resolves to the whole answer, or to null if it was not finished. */
  async run() {
    try {
      for await (const event of events(...this.request(), this.stopper.signal)) this.take(event);
      if (!this.ended) this.fail("The answer broke off before its end; ask again.");
    } catch (error) {
      if (error.name === "AbortError") this.end("cancelled");
      else this.fail(error.message);
    }
    return this.said;
  }

  /** Where the events come from, and what is asked for there. */
  request() {
    const body = { question: this.question, collection: this.collection, history: this.history };
    if (this.quote) body.quote = true; // else as it is set
    return ["/v1/ask", body];
  }

  stop() {
    this.stopper.abort();
  }

  take(event) {
    const takers = {
      progress: () => this.progressed(event),
      retrieval: () => this.retrieved(event),
      html: () => this.show(event.html),
      citation: () => this.sources.cite(event.citation),
      done: () => this.done(event),
      error: () => this.fail(event.message),
    };
    takers[event.type]?.();
  }

  progressed({ stage, done, total }) {
    this.bar ??= el("progress", { "aria-label": "Progress" });
    this.bar.max = total;
    this.bar.value = done;
    if (!this.bar.isConnected) this.status.after(this.bar);
    this.status.lastChild.textContent = `${stage}: ${done} of ${total}`;
  }

  retrieved({ passages, plan, searched, approach }) {
    this.plan = plan;
    this.bar?.remove();
    if (approach) this.explain(`${APPROACHES[approach.kind]}: ${approach.note}`);
    else if (searched.length > 1 || (searched.length && searched[0] !== this.question)) {
      this.explain(`Searched for: ${searched.join(" · ")}`);
    }
    this.sources.showRetrieved(passages);
    this.status.lastChild.textContent = `Reading ${count(passages.length, "passage")}…`;
  }

  /** Say in a line how it is answered. */
  explain(how) {
    this.searched.hidden = false;
    this.searched.textContent = how;
  }

  show(html) {
    this.status.hidden = true;
    showCleaned(this.text, html);
    for (const chip of this.text.querySelectorAll(".chip")) {
      chip.setAttribute("aria-label", `Source ${chip.dataset.passage}`);
    }
  }

  done(event) {
    if (event.finish_reason !== "cancelled") this.said = event.answer;
    this.sources.settle(event.citations);
    this.sources.suggest(event.nearest);
    if (!event.answered) {
      this.root.classList.add("declined");
      this.text.prepend(el("p", { class: "declined-title" }, "Not in your documents"));
    }
    this.cost.hidden = false;
    this.cost.replaceChildren(...cost(event.cost, this.plan).map((part) => el("span", {}, part)));
    this.end(event.finish_reason);
    if (event.answered && !event.citations.some((each) => each.verified)) this.qualify(isFound(event.citations));
    announce(event.answered ? this.text.textContent : `Not in your documents. ${event.answer}`);
  }

  /** Say what is not known of the answer: calmly where its source says it, else as a warning. */
  qualify(found) {
    this.note.hidden = false;
    this.note.classList.toggle("calm", found && !this.note.textContent);
    this.note.append(this.note.textContent ? ". " : "", found ? CITED : NOT_FOUND);
  }

  fail(message) {
    this.end("error");
    this.note.className = "note error";
    this.note.hidden = false;
    this.note.textContent = message;
    announce(message);
  }

  end(reason) {
    if (this.ended) return;
    this.ended = true;
    this.status.hidden = true;
    this.bar?.remove();
    this.root.classList.remove("streaming");
    this.root.removeAttribute("aria-busy");
    this.note.hidden = !(reason in ENDINGS);
    this.note.textContent = ENDINGS[reason] ?? "";
  }

  openSource(chip) {
    if (chip) this.sources.open(Number(chip.dataset.passage));
  }
}
