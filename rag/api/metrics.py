"""GET /metrics: what the server does and has done, as Prometheus reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from rag.api.services import ServicesOf  # noqa: TC001 - FastAPI reads the annotations
from rag.events import DoneEvent, ErrorEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from rag.answers.cache import CacheStats
    from rag.app import Rag
    from rag.events import AnswerEvent
    from serving.engine.loop import EngineStats
    from serving.states.store import StateStats

router = APIRouter(tags=["server"])

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
_EXAMPLE = '# TYPE rag_states_hits_total counter\nrag_states_hits_total{tier="memory"} 17.0\n'
_TEXT = {
    "description": "Prometheus' text format.",
    "content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}},
}


@router.get("/metrics", response_class=Response, responses={200: _TEXT})
def metrics(services: ServicesOf) -> Response:
    """Figures for Prometheus: answers, time to first token, the engine's load, kept states of passages.

    Those of engine and states are there once the model is loaded, which asking for them does not do.
    """
    return Response(services.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class Metrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self, rag: Rag) -> None:
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "rag_requests", "Questions by how their answers ended.", ["finish_reason"], registry=self._registry
        )
        self._first_token = Histogram(
            "rag_time_to_first_token_seconds",
            "From the question to the first token, retrieval included.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._duration = Histogram(
            "rag_e2e_request_latency_seconds",
            "From the question to the end of the answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Opened(rag))

    def watched(self, events: Iterable[AnswerEvent]) -> Iterator[AnswerEvent]:
        """The events of an answer, of which note is taken."""
        for event in events:
            if isinstance(event, DoneEvent):
                self._answers.labels(event.finish_reason).inc()
                self._duration.observe(event.cost.total_s)
                if event.cost.ttft_s is not None:
                    self._first_token.observe(event.cost.ttft_s)
            elif isinstance(event, ErrorEvent):
                self._answers.labels("error").inc()
            yield event

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)


class _Opened:
    """Reads the figures of what is open when they are asked for, and opens nothing."""

    def __init__(self, rag: Rag) -> None:
        self._rag = rag

    def collect(self) -> Iterator[Metric]:
        """What there is to tell."""
        runtime, answers = (self._rag.opened.get(name) for name in ("runtime", "answers"))
        if answers is not None:
            yield from _answers(answers.stats())
        if runtime is not None:
            yield from _engine(runtime.engine.stats())
            yield from _states(self._rag.states.stats())


def _engine(stats: EngineStats) -> Iterator[Metric]:
    totals = stats.totals
    blocks = {"free": stats.free_blocks, "cached": stats.cached_blocks, "all": stats.num_blocks}
    yield _gauge("num_requests_running", "Answers and passages in work.", stats.running)
    yield _gauge("num_requests_waiting", "Answers that wait to be begun.", stats.waiting)
    yield _labelled(
        GaugeMetricFamily,
        "kv_cache_blocks",
        "Blocks of 16 tokens in the memory for key/value states: free, in the prefix cache, and all.",
        "state",
        blocks,
    )
    yield _counter("prompt_tokens_computed", "Tokens of prompts and passages, computed.", totals.computed_tokens)
    yield _counter("prompt_tokens_cached", "Tokens of prompts whose states were taken as kept.", totals.reused_tokens)
    yield _counter("prompt_tokens_repaired", "Of those computed: their states had been kept.", totals.repaired_tokens)
    yield _counter("generation_tokens", "Tokens of answers.", totals.answer_tokens)
    yield _counter("drafted_tokens", "Tokens that were drafted from passages.", totals.drafted_tokens)
    yield _counter("accepted_tokens", "Of those drafted: they became part of an answer.", totals.accepted_tokens)
    yield _counter("preemptions", "How often an answer gave up its memory to older ones.", totals.preemptions)


def _states(stats: StateStats) -> Iterator[Metric]:
    hits = {"memory": stats.memory_hits, "disk": stats.disk_hits}
    entries = {"memory": stats.memory_entries, "disk": stats.disk_entries}
    sizes = {"memory": stats.memory_bytes, "disk": stats.disk_bytes}
    evictions = {"memory": stats.memory_evictions, "disk": stats.disk_evictions}
    counter, gauge = CounterMetricFamily, GaugeMetricFamily
    yield _labelled(counter, "states_hits", "Passages whose states were found.", "tier", hits)
    yield _counter("states_misses", "Passages that had no states when these were wanted.", stats.misses)
    yield _labelled(gauge, "states_entries", "Passages whose states are kept.", "tier", entries)
    yield _labelled(gauge, "states_bytes", "The size of these states.", "tier", sizes)
    yield _labelled(counter, "states_evictions", "Passages whose states had to go for others'.", "tier", evictions)
    yield _counter("states_damaged", "Files of states that were found damaged, and removed.", stats.damaged)
    yield _counter("states_unwritten", "Passages whose states could not be written to disk.", stats.unwritten)
    yield _counter("states_load_seconds", "Time in which states were read from disk.", stats.load_s)
    yield _counter("states_loaded_bytes", "Bytes that were read in this time.", stats.loaded_bytes)
    yield _counter("states_compute_seconds", "Time in which states were computed to be kept.", stats.compute_s)
    yield _counter("states_computed_tokens", "Tokens that were computed in this time.", stats.computed_tokens)


def _answers(stats: CacheStats) -> Iterator[Metric]:
    hits = {"exact": stats.exact_hits, "near": stats.near_hits}
    yield _labelled(
        CounterMetricFamily, "answer_cache_hits", "Answers that were given again, to the same question.", "match", hits
    )
    yield _counter("answer_cache_misses", "Questions whose answers were looked for and not there.", stats.misses)
    yield _gauge("answer_cache_entries", "Answers that are kept.", stats.num_answers)
    yield _gauge("answer_cache_bytes", "The size of the file that keeps them.", stats.num_bytes)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"rag_{name}", meaning, value=value)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"rag_{name}", meaning, value=value)


def _labelled(
    kind: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    meaning: str,
    label: str,
    values: Mapping[str, float],
) -> Metric:
    """A figure for each value of a label."""
    family = kind(f"rag_{name}", meaning, labels=[label])
    for value_of_label, value in values.items():
        family.add_metric([value_of_label], value)
    return family
