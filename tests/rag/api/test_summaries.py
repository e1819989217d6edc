"""Summaries over HTTP: as events, or as one object."""

from __future__ import annotations

import json
import re


def _id(live, name):
    return next(each["id"] for each in live.client.get("/v1/documents").json()["documents"] if each["name"] == name)


def test_a_summary_streams_with_progress_before_its_first_line(live):
    body = {"documents": [_id(live, "about-sallowfield.md")[:12]], "length": "short", "render": "html"}
    with live.client.stream("POST", "/v1/summaries", json=body) as response:
        assert response.status_code == 200
        lines = list(response.iter_lines())
    kinds = [line[7:] for line in lines if line.startswith("event: ")]
    assert re.fullmatch(r"(progress )+retrieval (token |citation |html )+done", " ".join(kinds))
    found = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert {key: found[0][key] for key in ("type", "stage", "done")} == {
        "type": "progress",
        "stage": "about-sallowfield.md",
        "done": 0,
    }
    assert found[-2]["html"].count('class="chip chip-verified"') == len(found[-1]["citations"]) > 1


def test_a_summary_is_one_object_where_that_is_wanted(live):
    body = {"documents": [_id(live, "memo-kelder-bridge.txt")], "stream": False}
    summary = live.client.post("/v1/summaries", json=body).json()
    assert summary["approach"]["kind"] == "summary"
    assert summary["question"] == "Summarise memo-kelder-bridge.txt"
    assert summary["answer"].startswith("Main points of memo-kelder-bridge.txt\n")
    assert all(citation["verified"] for citation in summary["citations"])
    assert summary["cost"]["model"] == "none"


def test_what_cannot_be_summarised_is_refused_with_a_reason(live):
    unknown = live.client.post("/v1/summaries", json={"documents": ["ffffffffffff"]})
    assert unknown.status_code == 404
    assert live.client.post("/v1/summaries", json={"documents": []}).status_code == 422
    table = {"documents": [_id(live, "price-list-2025.csv")], "stream": False}
    refused = live.client.post("/v1/summaries", json=table)
    assert refused.status_code >= 400
    assert "no whole sentences" in refused.json()["detail"]


def test_an_answer_says_how_it_was_made(live):
    question = "Which is cheaper, the 30 W or the 60 W solar panel?"
    answer = live.client.post("/v1/ask", json={"question": question, "stream": False}).json()
    assert answer["approach"]["kind"] == "comparison"
    assert "by £94.00 (computed)" in answer["answer"]
    plain = {"question": "Who founded Sallowfield Instruments?", "stream": False, "max_new_tokens": 4}
    assert live.client.post("/v1/ask", json=plain).json()["approach"] is None
