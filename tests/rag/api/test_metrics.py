"""GET /metrics: figures as Prometheus reads them."""

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rag.api.app import create_app
from rag.api.metrics import Metrics
from rag.app import Rag
from rag.events import Cost, DoneEvent, ErrorEvent, TokenEvent

QUESTION = "Who founded Sallowfield Instruments?"


def figures(text):
    """Every figure by its name and labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def ask(live):
    return live.client.post("/v1/ask", json={"question": QUESTION, "stream": False, "max_new_tokens": 4}).json()


def test_an_answer_moves_the_figures_that_it_should(live):
    ask(live)
    before = figures(live.client.get("/metrics").text)
    cost = ask(live)["cost"]
    after = figures(live.client.get("/metrics").text)

    def grown(*name):
        return after[name] - before[name]

    assert grown("rag_requests_total", "length") == 1
    assert grown("rag_time_to_first_token_seconds_count") == grown("rag_e2e_request_latency_seconds_count") == 1
    assert grown("rag_time_to_first_token_seconds_sum") == pytest.approx(cost["ttft_s"])
    assert grown("rag_prompt_tokens_cached_total") == cost["cached_tokens"] > 0
    assert grown("rag_prompt_tokens_repaired_total") == cost["repaired_tokens"]
    assert grown("rag_prompt_tokens_computed_total") == cost["computed_tokens"] + cost["repaired_tokens"]
    assert grown("rag_generation_tokens_total") == cost["completion_tokens"]
    assert grown("rag_states_hits_total", "memory") == len(ask(live)["passages"])
    assert grown("rag_states_misses_total") == 0
    assert after["rag_states_entries", "memory"] >= 3
    assert after["rag_states_bytes", "memory"] > after["rag_states_entries", "memory"]
    assert after["rag_num_requests_running",] == after["rag_num_requests_waiting",] == 0


def test_they_are_plain_text_of_prometheus(live):
    response = live.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# HELP rag_states_hits_total Passages whose states were found." in response.text


def test_asking_for_them_loads_nothing(model_home):
    async def get(app) -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return (await client.get("/metrics")).text

    with Rag.open(model_home) as opened:
        found = figures(asyncio.run(get(create_app(opened))))  # without its start, nothing is ever loaded
        assert opened.opened == {"index": opened.index}
    assert found["rag_time_to_first_token_seconds_count",] == 0
    assert not any(name.startswith("rag_states") for name, *_ in found)


def test_answers_are_counted_by_how_they_ended(model_home):
    with Rag.open(model_home) as opened:
        metrics = Metrics(opened)
        cost = Cost("none", 0.1, None, 0.2, 0, 0, 0, None)
        done = DoneEvent("", answered=False, finish_reason="declined", citations=(), cost=cost)
        for events in ([TokenEvent("a"), done], [done], [ErrorEvent("broken")]):
            assert list(metrics.watched(events)) == events
        found = figures(metrics.text().decode())
    assert (found["rag_requests_total", "declined"], found["rag_requests_total", "error"]) == (2, 1)
    assert (found["rag_e2e_request_latency_seconds_count",], found["rag_time_to_first_token_seconds_count",]) == (2, 0)
