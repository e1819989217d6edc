// The start of the page: what there is, whether the server can answer, and who listens to what.

import { get } from "./api.js";
import { AskBox } from "./ask.js";
import { byId, showBanner } from "./dom.js";
import { bytes } from "./format.js";
import { Library } from "./library.js";
import { Uploads } from "./uploads.js";
import { startViewer } from "./viewer.js";

const WAITING_MS = 1000;
const WATCHING_MS = 15000;

const library = new Library();
let uploads = null;
let started = false;

async function start() {
  const limits = await get("/v1/limits");
  byId("drop-hint").textContent = `PDF, Word, Markdown, HTML, CSV, text; up to ${bytes(limits.max_upload_bytes)}`;
  uploads ??= new Uploads(library, limits.max_upload_bytes);
  await Promise.all([library.load(), uploads.resume()]);
}

/** Ask the server whether it is ready, say so when it is not, and ask again later. */
async function watch() {
  let ready = true;
  try {
    if (!started) await start();
    started = true;
    await get("/ready");
    byId("banner").hidden = true;
  } catch (error) {
    ready = false;
    showBanner(error.message, error.status === 503 ? "waiting" : "error");
  }
  setTimeout(watch, ready ? WATCHING_MS : WAITING_MS);
}

startViewer();
new AskBox(library);
byId("question").focus();
watch();
