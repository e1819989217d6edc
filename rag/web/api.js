// Talking to the server: JSON, a stream of events, an upload with progress.

/** A refusal, or no answer at all (`status` 0), as one line for a person. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const GONE = "The server does not answer. Start it again with “rag serve”; this page reconnects by itself.";

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, GONE);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.detail ?? `The server answered ${response.status}.`);
}

export const get = async (path) => (await request(path)).json();

export const remove = (path) => request(path, { method: "DELETE" });

/** The events of an answer to a question, or of a summary, each as its JSON; ends when the stream does. */
export async function* events(path, body, signal) {
  const response = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, render: "html" }),
    signal,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new ApiError(0, GONE);
    });
    if (done) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const data = frame.split("\n").filter((line) => line.startsWith("data: "));
      if (data.length) yield JSON.parse(data.map((line) => line.slice(6)).join("\n"));
    }
  }
}

/** Upload one file; resolves to its job. */
export function upload(file, collection, onProgress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("file", file, file.name);
    const xhr = new XMLHttpRequest();
    xhr.open("POST", `/v1/documents?collection=${encodeURIComponent(collection)}`);
    xhr.responseType = "json";
    xhr.upload.onprogress = (event) => onProgress(event.loaded, event.total);
    xhr.onerror = () => reject(new ApiError(0, "The connection broke off while the file was sent."));
    xhr.onload = () => {
      if (xhr.status === 202) resolve(xhr.response.jobs[0]);
      else reject(new ApiError(xhr.status, xhr.response?.detail ?? `The server answered ${xhr.status}.`));
    };
    xhr.send(form);
  });
}
