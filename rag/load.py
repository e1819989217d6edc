"""What the settings mean to those who do the work: the engine, ingestion, an answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from indexes.dense.effort import VectorSettings
from ingest.extract.sandbox import ExtractLimits
from ingest.pipeline import IngestSettings
from rag.abstain import CALIBRATION_FILE, Calibration
from rag.ask_settings import AskSettings
from rag.prompt import PROMPT_VERSION
from rag.retrieve.settings import RetrieveSettings
from serving.engine.options import EngineOptions
from serving.models.load import load_runtime
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from indexes.types import Filter
    from rag.compress import SentenceJudge
    from rag.config import Settings
    from rag.conversation import Turn
    from rag.plan import Target
    from serving.models.prepared import PreparedModel
    from serving.native import NativeRuntime
    from serving.states.store import StateStore

logger = logging.getLogger(__name__)


def load(model: PreparedModel, store: StateStore, settings: Settings, notify: Callable[[str], None]) -> NativeRuntime:
    """The model, loaded."""
    _compare_prompts(model)
    return load_runtime(
        model,
        settings.weight_format,
        notify=notify,
        device=settings.device,
        num_threads=settings.num_threads,
        kv_format=settings.kv_format,
        use_kernels=settings.kernels,
        options=EngineOptions(
            kv_budget_bytes=settings.kv_cache_mb << 20,
            max_running=settings.max_running,
            max_queue=settings.max_queue,
            prefix_cache=settings.prefix_cache,
            passage_reuse=not settings.states_obstacle,
            speculation=settings.speculation,
            naive=settings.naive,
        ),
        store=store,
        states_format=settings.states_format,
    )


def _compare_prompts(model: PreparedModel) -> None:
    """Says so where the model's adapter was trained with other prompts than it will get."""
    version = None if model.adapter is None else model.adapter.notes.prompt_version
    if version not in (None, PROMPT_VERSION):
        logger.warning(
            "%s was trained with prompts of version %s, those of this program have %s: its answers may suffer",
            model.name,
            version,
            PROMPT_VERSION,
        )


def load_calibration(model: PreparedModel, settings: Settings) -> Calibration | None:
    """What was measured here of when a model is to decline, else what came with its adapter; None if neither was."""
    places = [settings.calibration_file(calibration_id(model))]
    if model.adapter is not None:
        places.append(model.adapter.folder / CALIBRATION_FILE)
    found = (Calibration.read(place) for place in places if place.is_file())
    return next((calibration for calibration in found if calibration.of_model == calibration_id(model)), None)


def calibration_id(model: PreparedModel) -> str:
    """Fingerprint of what a calibration belongs to: of the adapter, in whatever format the weights below it are."""
    return model.fingerprint if model.adapter is None else model.adapter.fingerprint


def vector_settings(settings: Settings) -> VectorSettings:
    """From what size on vectors are searched by lists, and how well."""
    return VectorSettings(settings.vector_exact_up_to, settings.vector_recall)


def ingest_settings(settings: Settings) -> IngestSettings:
    """How documents are cut, and what reading one may cost."""
    limits = ExtractLimits(
        memory_bytes=settings.extract_memory_mb << 20,
        stall_s=settings.extract_stall_s,
        total_s=settings.extract_timeout_s,
    )
    return IngestSettings(settings.chunk_tokens, settings.chunk_overlap, limits)


def retrieve_settings(settings: Settings) -> RetrieveSettings:
    """How passages are found."""
    return RetrieveSettings(
        candidates=settings.candidates,
        dense_weight=settings.dense_weight,
        fusion=settings.fusion,
        rerank_candidates=settings.rerank_candidates,
        drop_near_duplicates=settings.drop_near_duplicates,
        diversity=settings.diversity,
        join_neighbours=settings.join_neighbours,
    )


def ask_settings(
    settings: Settings,
    collection: str | None,
    *,
    history: Sequence[Turn] = (),
    where: Filter | None = None,
    target: Target | None = None,
    sentence_judge: Callable[[], SentenceJudge | None] = lambda: None,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    quote: bool | None = None,
) -> AskSettings:
    """How a question is answered; None takes what is set."""
    return AskSettings(
        collection=collection or settings.collection,
        history=() if settings.follow_ups == "off" else tuple(history),
        split_questions=settings.split_questions,
        where=where,
        target=target,
        top_k=top_k or settings.top_k,
        context_tokens=settings.context_tokens,
        min_relevance=settings.min_relevance_for(collection or settings.collection),
        sampling=SamplingParams(
            max_new_tokens=settings.max_new_tokens if max_new_tokens is None else max_new_tokens,
            temperature=settings.temperature if temperature is None else temperature,
            repetition_penalty=settings.repetition_penalty,
        ),
        timeout_s=settings.answer_timeout_s,
        numbers_first=settings.numbers_first,
        compress=settings.compress,
        sentence_judge=sentence_judge,
        reuse_for=settings.reuse_for,
        quote=settings.quote if quote is None else quote,
    )
