// The summary of a document: an answer without a question.

import { Answer } from "./answer.js";

export class Summary extends Answer {
  constructor(doc) {
    super(`Summary of ${doc.name}`, doc.collection, [], false);
    this.document = doc;
    this.status.lastChild.textContent = "Reading the document…";
  }

  request() {
    return ["/v1/summaries", { documents: [this.document.id], collection: this.collection }];
  }
}
