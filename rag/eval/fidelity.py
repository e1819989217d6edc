"""`rag eval fidelity`: what reusing passages' states costs in quality, and how much repair a model needs."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from rag.app import Rag
from rag.bench.machine import describe_machine
from rag.bench.report import Figure, Report
from rag.choices import repair_in_words, write_reuse
from rag.config_file import CONFIG_FILE
from rag.errors import RagError
from rag.eval.cases import made_cases, retrieved_cases, squad_cases
from rag.eval.choice import choose
from rag.eval.questions import parse_questions, read_json
from rag.eval.scores import paired_interval
from rag.eval.squad import articles_of, paragraph_weights
from rag.eval.trials import Trials
from rag.eval.variants import Measured, variants
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rag.cite import TermWeights
    from rag.config import Settings
    from rag.eval.cases import Case
    from rag.eval.choice import Verdict
    from rag.eval.trials import Trial
    from rag.eval.variants import Variant

    Notify = Callable[[str], None]

_MAX_ANSWER_TOKENS = 64
_STATES_MEMORY_MB = 512  # enough for the passages of any one question


@dataclass(frozen=True, slots=True)
class FidelityEval:
    """What to ask.

    Attributes:
        num_questions: at most; fewer where there are not so many.
        data: questions with known answers, in SQuAD's format or as for `rag eval answers`; None for questions made from
            the collection's own sentences.
        collection: None for the settings'.
        num_passages: for each question; None for the settings' `top_k`.
        write: keep the choice in `config.toml`.
    """

    num_questions: int = 40
    data: Path | None = None
    collection: str | None = None
    num_passages: int | None = None
    seed: int = 0
    write: bool = True


def eval_fidelity(settings: Settings, asked: FidelityEval, notify: Notify) -> tuple[Report, str]:
    """Answers every question in every way, and chooses how the model reuses states from now on.

    Returns:
        The report, and a line that says what was chosen and where that is kept.

    Raises:
        RagError: there is nothing to ask or to ask about.
    """
    warnings = describe_machine().warnings
    apart = settings.model_copy(
        update={"naive": False, "states": "first-use", "states_disk_mb": 0, "states_memory_mb": _STATES_MEMORY_MB}
    )
    compared = list(variants(numbers_first=settings.numbers_first))
    with Rag.open(settings=apart, notify=notify) as rag:
        cases, term_weights = _cases(rag, asked)
        model = rag.runtime.name
        trials = Trials(rag.runtime, _sampling(settings), settings.context_tokens, term_weights)
        results: list[list[Trial]] = []
        for number, case in enumerate(cases, start=1):
            notify(f"question {number} of {len(cases)}: {case.question}")
            results.append(trials.run(case, compared))
    by_variant = list(zip(*results, strict=True))
    measured = [
        _measure(variant, trials_of, by_variant[_reference(compared, variant)])
        for variant, trials_of in zip(compared, by_variant, strict=True)
    ]
    verdict = choose([one for one in measured if _is_candidate(one.variant, settings)])
    report = Report(
        command="eval fidelity",
        machine=describe_machine(),
        settings=_settings(settings, asked, model, len(cases)),
        figures=tuple(figures(measured)),
        warnings=warnings,
        rows=tuple(one.row(is_chosen=one is verdict.measured) for one in measured),
    )
    return report, _keep(settings, model, verdict, write=asked.write)


def figures(measured: Sequence[Measured]) -> Iterator[Figure]:
    """Every measure of every variant beside that of full prefill with numbers in the same place."""
    references = {one.variant.numbers_first: one for one in measured if one.variant.is_reference}
    measures: tuple[tuple[str, str, Callable[[Measured], float | None]], ...] = (
        ("F1", "%", lambda one: one.f1),
        ("exact match", "%", lambda one: one.exact),
        ("holds the answer", "%", lambda one: one.holds),
        ("KL divergence", "nats", lambda one: one.divergence),
        ("same first choice", "%", lambda one: one.top_1),
        ("same answer", "%", lambda one: one.same),
        ("cites the right passage", "%", lambda one: one.cites_right),
        ("time to first token", "s", lambda one: one.ttft_s),
    )
    for name, unit, measure in measures:
        for one in measured:
            reference = references[one.variant.numbers_first]
            ours, full = measure(one), measure(reference)
            if ours is not None and full is not None:
                label = f"{name}, {one.variant.reading}, numbers {one.variant.numbers}"
                yield Figure(label, unit, ours, {} if one is reference else {"full prefill": full})


def _cases(rag: Rag, asked: FidelityEval) -> tuple[list[Case], TermWeights]:
    """The questions with their passages, and the rarity of terms among the texts that these are from."""
    num_passages = asked.num_passages or rag.settings.top_k
    collection = asked.collection or rag.settings.collection
    content = None if asked.data is None else read_json(asked.data)
    if asked.data is not None and isinstance(content, dict) and "data" in content:
        articles = articles_of(asked.data, content)
        cases = squad_cases(articles, asked.num_questions, num_passages, lambda text: _count(rag, text), asked.seed)
        if not cases:
            raise RagError(f"{asked.data}: no question has an answer")
        return cases, paragraph_weights(articles)
    if not rag.documents(collection):
        raise RagError(f"the collection {collection!r} holds no documents; fill it with `rag ingest -c {collection} …`")
    term_weights = partial(rag.retriever.term_weights, collection)
    if asked.data is None:
        return made_cases(rag, collection, asked.num_questions, num_passages, asked.seed), term_weights
    questions = parse_questions(asked.data, content)[: asked.num_questions]
    return retrieved_cases(rag, questions, collection, num_passages), term_weights


def _count(rag: Rag, text: str) -> int:
    return rag.runtime.count_text_tokens(text)


def _measure(variant: Variant, trials: Sequence[Trial], reference: Sequence[Trial]) -> Measured:
    pairs = zip(trials, reference, strict=True)
    changes = [100 * (one.f1 - full.f1) for one, full in pairs if one.f1 is not None and full.f1 is not None]
    located = [one for one in trials if one.gold is not None]
    first = [one.completion.ttft_s for one in trials if one.completion.ttft_s is not None]
    return Measured(
        variant=variant,
        num_questions=len(trials),
        f1=_percent([one.f1 for one in trials if one.f1 is not None]),
        f1_change=statistics.fmean(changes) if changes else None,
        f1_change_range=paired_interval(changes) if changes else None,
        exact=_percent([one.exact for one in trials if one.exact is not None]),
        holds=_percent([one.holds for one in trials if one.holds is not None]),
        divergence=statistics.fmean(one.divergence for one in trials),
        top_1=100 * statistics.fmean(one.top_1 for one in trials),
        same=100 * statistics.fmean(one.same for one in trials),
        like=100 * statistics.fmean(one.like for one in trials),
        cites=100 * statistics.fmean(one.cited is not None for one in trials),
        cites_right=_percent([one.cited == one.gold for one in located]),
        shown_right=_percent([one.shown == one.gold for one in located]),
        ttft_s=statistics.median(first) if first else None,
        cached=statistics.fmean(one.completion.cached_tokens for one in trials),
        repaired=statistics.fmean(one.completion.repaired_tokens for one in trials),
        computed=statistics.fmean(one.completion.computed_tokens for one in trials),
    )


def _percent(shares: Sequence[float]) -> float | None:
    return 100 * statistics.fmean(shares) if shares else None


def _reference(compared: Sequence[Variant], variant: Variant) -> int:
    return next(
        place
        for place, other in enumerate(compared)
        if other.is_reference and other.numbers_first == variant.numbers_first
    )


def _is_candidate(variant: Variant, settings: Settings) -> bool:
    return variant.reuse is not None and variant.share == 1 and variant.numbers_first == settings.numbers_first


def _keep(settings: Settings, model: str, verdict: Verdict, *, write: bool) -> str:
    """Writes the choice where that is wanted; a line about both."""
    choice = verdict.setting(datetime.now(UTC).isoformat(timespec="seconds"))
    if write:
        write_reuse(settings.home, model, choice)
    reuse = verdict.measured.variant.reuse if verdict.measured else None
    chosen = f"chosen for {model}: {repair_in_words(reuse)}; {verdict.reason}"
    kept = f"written to {settings.home / CONFIG_FILE}" if write else "not written, as --no-write says"
    set_by_hand = settings.repair_tokens is not None or settings.repair_share is not None
    overruled = "; repair_tokens or repair_share is set and overrules it" if set_by_hand else ""
    return f"{chosen}; {kept}{overruled}"


def _sampling(settings: Settings) -> SamplingParams:
    """The likeliest tokens, so that two answers differ only for what was read."""
    return SamplingParams(
        max_new_tokens=min(settings.max_new_tokens, _MAX_ANSWER_TOKENS),
        repetition_penalty=settings.repetition_penalty,
    )


def _settings(settings: Settings, asked: FidelityEval, model: str, num_questions: int) -> dict[str, Any]:
    """What the figures depend on besides the machine."""
    return {
        "model": model,
        "questions": num_questions,
        "from": asked.data.name if asked.data else f"sentences of {asked.collection or settings.collection}",
        "passages": asked.num_passages or settings.top_k,
        "seed": asked.seed,
        **settings.model_dump(include={"weight_format", "kv_format", "states_format", "context_tokens"}),
        **settings.model_dump(include={"repetition_penalty"}),
    }
