"""Filters and metadata over HTTP."""

import pytest

NOTE = b"# Gauges\n\nThe gauge at Fell Bridge is called Agnes. It is read every Tuesday at noon.\n"


@pytest.fixture(scope="module")
def note(desk):
    """The id of an uploaded document with metadata."""
    job = desk.upload("agnes.md", NOTE, collection="gauges", metadata=["project=apollo", "year=2024"])
    yield job["document_id"]
    desk.client.delete(f"/v1/documents/{job['document_id']}", params={"collection": "gauges"})


def search(desk, **filters):
    body = {"question": "What is the gauge called?", "collection": "gauges", "filter": filters}
    return desk.client.post("/v1/search", json=body)


def test_an_uploads_metadata_is_shown(desk, note):
    (document,) = desk.client.get("/v1/documents", params={"collection": "gauges"}).json()["documents"]
    assert document["metadata"] == [["project", "apollo"], ["year", "2024"]]


def test_search_finds_only_what_the_filter_lets_through(desk, note):
    for passing in (
        {"documents": [note[:8]]},
        {"paths": ["*.MD"]},
        {"types": ["text/*"]},
        {"since": "2024-01-01", "until": "2999-12-31"},
        {"metadata": {"project": "apollo"}},
        {},
    ):
        found = search(desk, **passing).json()
        assert (len(found["passages"]), found["note"]) == (1, None), passing
    for other in ({"types": ["pdf"]}, {"until": "2024-01-01T00:00:00Z"}, {"metadata": {"project": "gemini"}}):
        found = search(desk, **other).json()
        assert found["passages"] == []
        assert found["note"] == "No document passes the filter, so nothing was searched."


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"documents": ["agnes.md"]}, "filter.documents.0"),
        ({"since": "yesterday"}, "filter.since"),
        ({"types": ["a/b/c"]}, "filter.types.0"),
        ({"paths": [""]}, "filter.paths.0"),
        ({"metadata": {"": "x"}}, "filter.metadata"),
        ({"name": "x"}, "filter.name"),
    ],
)
def test_a_filter_that_cannot_be_read_is_a_422_that_names_the_field(desk, filters, field):
    for path in ("/v1/search", "/v1/ask"):
        refused = desk.client.post(path, json={"question": "What?", "filter": filters})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"].startswith(field)


def test_metadata_that_cannot_be_read_is_a_422(desk):
    refused = desk.client.post("/v1/documents", files={"file": ("a.md", NOTE)}, params={"metadata": "apollo"})
    assert refused.status_code == 422
    assert "name=value" in refused.json()["detail"]


def test_an_answer_is_made_only_from_what_passes(live):
    question = {"question": "Which bridge is the memo about?", "stream": False}
    answer = live.client.post("/v1/ask", json=question | {"filter": {"types": ["pdf"]}}).json()
    assert (answer["answered"], answer["passages"]) == (False, [])
    assert answer["answer"] == "No document passes the filter, so nothing was searched."
    answer = live.client.post("/v1/ask", json=question | {"filter": {"paths": ["*.csv"]}}).json()
    assert {passage["document_name"] for passage in answer["passages"]} <= {"price-list-2025.csv"}


def test_the_filter_is_documented(desk):
    schemas = desk.client.get("/openapi.json").json()["components"]["schemas"]
    assert set(schemas["DocumentFilter"]["properties"]) == {"documents", "paths", "types", "since", "until", "metadata"}
