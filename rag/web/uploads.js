// Adding files: chosen or dropped, sent with progress, then followed until they are ingested.

import { ApiError, get, remove, upload } from "./api.js";
import { byId, el } from "./dom.js";
import { bytes } from "./format.js";

const POLL_MS = { queued: 1200, running: 400 };
const LINGER_MS = 2500;
const STAGES = { extract: "Reading", chunk: "Dividing", embed: "Indexing", write: "Storing", states: "Findable, reading ahead" };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Uploads {
  constructor(library, maxBytes) {
    this.library = library;
    this.maxBytes = maxBytes;
    this.sending = Promise.resolve(); // one file after another: the progress of each means something
    const input = byId("files");
    byId("choose").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      this.add(input.files);
      input.value = "";
    });
    this.watchDrops();
  }

  watchDrops() {
    const veil = byId("drop-veil");
    const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      veil.hidden = false;
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) veil.hidden = true;
    });
    addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      veil.hidden = true;
      this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    for (const file of files) {
      const row = new UploadRow(file.name);
      byId("uploads").append(row.root);
      if (file.size > this.maxBytes) {
        row.fail(`${bytes(file.size)} is more than the ${bytes(this.maxBytes)} that the server takes.`);
      } else {
        this.sending = this.sending.then(() => this.send(file, row));
      }
    }
  }

  async send(file, row) {
    try {
      const job = await upload(file, this.library.collection, (done, total) => row.show("Sending", done, total));
      this.follow(job, row);
    } catch (error) {
      row.fail(error.message);
    }
  }

  /** Take up the jobs that were running before the page was opened. */
  async resume() {
    const { jobs } = await get("/v1/jobs?unfinished=true");
    for (const job of jobs.reverse()) {
      const row = new UploadRow(job.name);
      byId("uploads").append(row.root);
      this.follow(job, row);
    }
  }

  async follow(job, row) {
    row.onCancel = () => remove(`/v1/jobs/${job.id}`).catch((error) => row.fail(error.message));
    row.showJob(job);
    while (job.state in POLL_MS) {
      await pause(POLL_MS[job.state]);
      try {
        const { stage } = job;
        job = await get(`/v1/jobs/${job.id}`);
        row.showJob(job);
        if (job.stage === "states" && stage !== "states") await this.library.refresh(); // the document is there
      } catch (error) {
        if (!(error instanceof ApiError) || error.status) return row.fail(error.message);
      }
    }
    if (job.state === "failed") return row.fail(job.error);
    row.finish();
    await this.library.refresh();
  }
}

class UploadRow {
  constructor(name) {
    this.onCancel = null;
    this.stage = el("span", { class: "quiet" }, "Waiting");
    this.bar = el("progress", { max: 1, value: 0 });
    this.bar.setAttribute("aria-label", `Progress of ${name}`);
    this.button = el("button",
      { type: "button", class: "icon-button", title: "Cancel", "aria-label": `Cancel ${name}`, hidden: true }, "✕");
    this.button.addEventListener("click", () => (this.onCancel ? this.onCancel() : this.root.remove()));
    this.root = el("li", { class: "upload" },
      el("div", { class: "title" }, el("strong", { title: name }, name), this.stage), this.button, this.bar);
  }

  show(stage, done, total) {
    this.stage.textContent = stage;
    if (total) this.bar.value = done / total;
    else this.bar.removeAttribute("value");
  }

  showJob({ state, stage, progress }) {
    this.button.hidden = false;
    if (state === "running") this.show(STAGES[stage] ?? "Starting", progress?.done, progress?.total);
    else this.show("Waiting", 0, 1);
  }

  fail(reason) {
    this.onCancel = null;
    this.bar.hidden = true;
    this.button.hidden = false;
    this.button.title = "Dismiss";
    this.button.setAttribute("aria-label", "Dismiss");
    this.root.classList.add("failed");
    this.stage.textContent = reason;
  }

  finish() {
    this.button.hidden = true;
    this.bar.value = 1;
    this.root.classList.add("finished");
    this.stage.textContent = "Ready";
    setTimeout(() => this.root.remove(), LINGER_MS);
  }
}
