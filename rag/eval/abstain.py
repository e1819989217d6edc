"""`rag eval abstain`: how often questions are declined that the documents answer, and that they do not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.app import Rag
from rag.bench.machine import describe_machine
from rag.bench.report import Figure, Report
from rag.choices import AbstainChoice, write_abstain
from rag.config_file import CONFIG_FILE
from rag.errors import RagError
from rag.eval.abstain_cases import ANSWERABLE, LEFT_OUT, OWN, Case, dataset_cases, made_cases
from rag.eval.logistic import area_under_curve, cross_validated, fit
from rag.eval.retrieval.corpus import opened_corpus
from rag.eval.retrieval.read import read_dataset
from rag.eval.retrieval.run import CACHE_FOLDER
from rag.retrieve import Signals, relevance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy import float64
    from numpy.typing import NDArray

    from rag.config import Settings

    Notify = Callable[[str], None]

_RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
_FEWEST = 20  # cases of a kind from which a rate can be told
_LEAST, _MOST = 0.05, 0.6  # a threshold from questions that were made strays no further


@dataclass(frozen=True, slots=True)
class AbstainEval:
    """What to ask.

    Attributes:
        num_questions: at most; fewer where there are not so many.
        data: a test collection, see `read_dataset`; None for questions made from the collection's own sentences.
        collection: None for the settings'.
        false_rate: share of the questions that the documents answer which may be declined.
        write: keep the threshold for the collection in `config.toml`; there is none to keep with `data`.
        cache: where corpora of test collections are kept; None for the home folder.
    """

    num_questions: int = 200
    data: Path | None = None
    collection: str | None = None
    false_rate: float = 0.05
    seed: int = 0
    write: bool = True
    cache: Path | None = None


def eval_abstain(settings: Settings, asked: AbstainEval, notify: Notify) -> tuple[Report, str]:
    """Asks what the documents answer, and the same with the documents that answer left out.

    Returns:
        The report, and a line that says which threshold was chosen and where it is kept.

    Raises:
        RagError: there is nothing to ask, or too little to tell.
    """
    machine = describe_machine()
    collection = asked.collection or settings.collection
    if asked.data is None:
        with Rag.open(settings=settings, notify=notify) as rag:
            cases = made_cases(rag, collection, asked.num_questions, asked.seed, notify)
    else:
        dataset = read_dataset(asked.data)
        with opened_corpus(dataset, settings, asked.cache or settings.home / CACHE_FOLDER, notify) as rag:
            cases = dataset_cases(rag, dataset, asked.num_questions, asked.seed, notify)
    scored = {kind: _relevance(cases, kind) for kind in (ANSWERABLE, LEFT_OUT, OWN)}
    for kind in (ANSWERABLE, LEFT_OUT):
        if len(scored[kind]) < _FEWEST:
            raise RagError(f"only {len(scored[kind])} {kind} questions could be asked, which is too few to tell a rate")
    current = settings.min_relevance_for(collection)
    threshold = float(np.quantile(scored[ANSWERABLE], asked.false_rate))
    report = Report(
        command="eval abstain",
        machine=machine,
        settings={
            "from": asked.data.name if asked.data else f"sentences of {collection}",
            "questions": len(scored[ANSWERABLE]),
            "seed": asked.seed,
            "min_relevance": current,
        },
        figures=tuple(figures(cases, scored, current, asked)),
        warnings=machine.warnings,
        rows=tuple(roc(scored)),
    )
    return report, _keep(settings, asked, collection, threshold, scored)


def roc(scored: dict[str, NDArray[float64]]) -> Iterator[dict[str, Any]]:
    """What each threshold declines, in percent."""
    for rate in _RATES:
        yield _row(scored, float(np.quantile(scored[ANSWERABLE], rate)))


def figures(
    cases: Sequence[Case], scored: dict[str, NDArray[float64]], current: float, asked: AbstainEval
) -> Iterator[Figure]:
    """What the threshold in force declines; and how well the signals can tell at best, fitted to these questions."""
    yield Figure("answerable, declined", "% wrong", _declined(scored[ANSWERABLE], current), note=f"at {current:.2f}")
    for kind in (LEFT_OUT, OWN):
        if len(scored[kind]):
            count = f"{len(scored[kind])} questions"
            yield Figure(f"{kind}, declined", "%", _declined(scored[kind], current), note=count)
            area = area_under_curve(scored[ANSWERABLE], scored[kind])
            yield Figure(f"{kind}, told from answerable", "of 1", area, note="area under the ROC curve")
    told = [case for case in cases if case.kind in {ANSWERABLE, LEFT_OUT}]
    if len({case.group for case in told}) < 2:  # noqa: PLR2004
        return
    values = np.array([case.signals.values for case in told])
    positive = np.array([case.kind == ANSWERABLE for case in told])
    chances = cross_validated(values, positive, [case.group for case in told])
    cut = float(np.quantile(chances[positive], asked.false_rate))
    weights, bias = fit(values, positive)
    fitted = Signals(*(round(float(weight), 1) for weight in weights))
    note = f"with {asked.false_rate:.0%} of answerable; {fitted}, bias {bias:.1f}"
    yield Figure(f"{LEFT_OUT}, declined if fitted anew", "%", _declined(chances[~positive], cut), note=note)


def _row(scored: dict[str, NDArray[float64]], threshold: float) -> dict[str, Any]:
    shares = {f"{kind}_declined_%": _declined(values, threshold) for kind, values in scored.items() if len(values)}
    return {"min_relevance": round(threshold, 3), **{name.replace(" ", "_"): share for name, share in shares.items()}}


def _relevance(cases: Sequence[Case], kind: str) -> NDArray[float64]:
    return np.array([relevance(case.signals) for case in cases if case.kind == kind])


def _declined(values: NDArray[float64], threshold: float) -> float:
    return 100 * float((values < threshold).mean())


def _keep(
    settings: Settings, asked: AbstainEval, collection: str, threshold: float, scored: dict[str, NDArray[float64]]
) -> str:
    """Writes the threshold where that is wanted; a line about both."""
    said = f"declines {_declined(scored[ANSWERABLE], threshold):.1f}% of answerable questions and "
    said += f"{_declined(scored[LEFT_OUT], threshold):.1f}% of those whose document is left out"
    if asked.data is not None:
        return f"a threshold of {threshold:.3f} {said}; not written, as {asked.data.name} is no collection of yours"
    bounded = round(min(max(threshold, _LEAST), _MOST), 3)
    chosen = f"min_relevance of {collection}: {bounded} {said}"
    if not asked.write:
        return f"{chosen}; not written, as --no-write says"
    rates = {"answerable": _declined(scored[ANSWERABLE], bounded), "left_out": _declined(scored[LEFT_OUT], bounded)}
    choice = AbstainChoice(bounded, datetime.now(UTC).isoformat(timespec="seconds"), rates)
    write_abstain(settings.home, collection, choice)
    overruled = "; min_relevance is set and overrules it" if "min_relevance" in settings.model_fields_set else ""
    return f"{chosen}; written to {settings.home / CONFIG_FILE}{overruled}"
