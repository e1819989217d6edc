"""Quotations over HTTP."""

from __future__ import annotations

from typing import Any

QUESTION = "What was decided about the Kelder bridge?"


def test_between_its_citations_bounds_an_answer_is_what_the_document_says(live: Any) -> None:
    answer = live.client.post(
        "/v1/ask", json={"question": QUESTION, "quote": True, "stream": False, "render": "html", "max_new_tokens": 30}
    ).json()
    assert answer["answered"]
    for citation in answer["citations"]:
        quote = answer["answer"][citation["answer_start"] : citation["answer_end"]]
        document_id = answer["passages"][citation["number"] - 1]["document_id"]
        bounds = {"start": citation["quote_start"], "end": citation["quote_end"]}
        text = live.client.get(f"/v1/documents/{document_id}/text", params=bounds).json()
        assert quote in text["text"]
        assert citation["origin"] == "quote"
    assert 'class="chip chip-verified"' in answer["html"]
