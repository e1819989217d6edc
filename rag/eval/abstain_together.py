"""How well retrieval, the model, and both together tell what is answered from what is not; fitted on one half of the
questions, measured on the other.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.abstain import Calibration, logit
from rag.bench.machine import describe_machine
from rag.bench.report import Figure, Report
from rag.errors import RagError
from rag.eval.abstain_asking import Asking, Judged
from rag.eval.abstain_cases import ANSWERABLE, OWN, counted
from rag.eval.logistic import area_under_curve, fit
from rag.eval.retrieval.corpus import opened_corpus
from rag.eval.retrieval.read import read_dataset
from rag.eval.retrieval.run import CACHE_FOLDER, drawn
from rag.load import calibration_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy import float64
    from numpy.typing import NDArray

    from rag.app import Rag
    from rag.config import Settings
    from rag.eval.retrieval.dataset import Dataset, Query

    Notify = Callable[[str], None]

ABSENT = "paragraph left out"
KINDS = (ANSWERABLE, OWN, ABSENT)
_RETRIEVAL, _MISMATCH, _MODEL, TOGETHER = "retrieval alone", "mismatch alone", "model alone", "together"
_RATES = (0.01, 0.02, 0.05, 0.08, 0.1, 0.15, 0.2)
_FEWEST = 20  # cases of a kind from which a rate can be told


@dataclass(frozen=True, slots=True)
class TogetherEval:
    """What to ask.

    Attributes:
        data: a test collection, see `read_dataset`.
        num_questions: of each kind, at most.
        only: articles whose questions are asked; all where none is named. All are searched.
        false_rate: share of the questions that the documents answer which may be declined.
        out: where the calibration is written; None keeps it for the model in the home folder, if `write` says so.
        cache: where corpora of test collections are kept; None for the home folder.
    """

    data: Path
    num_questions: int = 200
    only: tuple[str, ...] = ()
    false_rate: float = 0.05
    seed: int = 0
    write: bool = True
    out: Path | None = None
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class JudgedCase:
    """A question of a kind, and what was made of it."""

    kind: str
    question: str
    judged: Judged


class Half:
    """Some of the cases, as columns."""

    def __init__(self, cases: Sequence[JudgedCase], min_relevance: float) -> None:
        self.kinds = np.array([case.kind for case in cases])
        self.model = np.array([logit(case.judged.likely_declined) for case in cases])
        self.retrieval = np.array([-logit(case.judged.grounds.relevance) for case in cases])
        self.mismatch = np.array([case.judged.grounds.mismatch for case in cases])
        self.unsupported = np.array([not case.judged.verified for case in cases])
        self.beyond = np.array([case.judged.grounds.relevance < min_relevance for case in cases])

    def scores(self, calibration: Calibration | None) -> dict[str, NDArray[float64]]:
        """What speaks for declining each, by who judges; together, what retrieval alone declines comes first."""
        found = {_RETRIEVAL: self.retrieval, _MISMATCH: self.mismatch, _MODEL: self.model}
        if calibration is not None:
            known = calibration.mismatch * self.mismatch - calibration.relevance * self.retrieval
            found[TOGETHER] = np.where(self.beyond, np.inf, calibration.own * self.model + known + calibration.bias)
        return found

    def of(self, values: NDArray[Any], kind: str) -> NDArray[Any]:
        """The values of one kind."""
        chosen: NDArray[Any] = values[self.kinds == kind]
        return chosen


def eval_together(settings: Settings, asked: TogetherEval, notify: Notify) -> tuple[Report, str]:
    """Asks what the paragraphs answer, the same without the paragraph that does, and what nothing answers.

    Returns:
        The report, and a line that says which calibration was chosen and where it is kept.

    Raises:
        RagError: there is too little to ask.
    """
    machine = describe_machine()
    dataset = _only(read_dataset(asked.data), asked.only)
    with opened_corpus(dataset, settings, asked.cache or settings.home / CACHE_FOLDER, notify) as rag:
        model, fingerprint = rag.runtime.name, calibration_id(rag.model)
        cases = judged_cases(rag, dataset, asked, notify)
    for kind in (ANSWERABLE, OWN):
        if (num := sum(case.kind == kind for case in cases)) < 2 * _FEWEST:
            raise RagError(f"only {num} {kind} questions could be asked, which is too few to tell a rate")
    first, second = (Half(cases[start::2], settings.min_relevance) for start in (0, 1))
    calibration = calibrated(first, asked.false_rate)
    report = Report(
        command="eval abstain",
        machine=machine,
        settings={
            "from": asked.data.name,
            "articles": ", ".join(asked.only) or "all",
            "model": model,
            **{kind: sum(case.kind == kind for case in cases) for kind in KINDS},
            "seed": asked.seed,
            "min_relevance": settings.min_relevance,
        },
        figures=tuple(figures(first, second, calibration, asked.false_rate)),
        warnings=machine.warnings,
        rows=tuple(curve(second, calibration)),
    )
    if calibration is None:
        return report, f"{model} does not tell the two apart, so when it declines is left to it"
    named = replace(calibration, of_model=fingerprint, measured=_measured(second, calibration, asked, model))
    return report, _keep(settings, asked, named)


def judged_cases(rag: Rag, dataset: Dataset, asked: TogetherEval, notify: Notify) -> list[JudgedCase]:
    """Asks them all; kinds take turns, so that each second case makes up a half of each kind."""
    asking = Asking(rag, rag.settings.collection)
    answerable = drawn(dataset.queries, asked.num_questions, asked.seed)
    unanswerable = drawn(dataset.unanswerable, asked.num_questions, asked.seed)
    wanted: list[tuple[str, Query, set[str]]] = [(ANSWERABLE, query, set()) for query in answerable]
    wanted += [(OWN, query, set()) for query in unanswerable]
    wanted += [(ABSENT, query, {entry for entry, grade in query.grades.items() if grade > 0}) for query in answerable]
    cases = []
    for kind, query, out in counted(wanted, notify):
        judged = asking.judged(query.text, out)
        if judged is not None:
            cases.append(JudgedCase(kind, query.text, judged))
    return cases


def calibrated(half: Half, false_rate: float) -> Calibration | None:
    """The weights that tell best, with so many of the answerable declined; None if the model's word tells nothing."""
    answered = half.kinds == ANSWERABLE
    values = np.column_stack([half.model, -half.retrieval, half.mismatch])
    own, relevance, mismatch = (round(float(weight), 4) for weight in fit(values, ~answered)[0])
    if own <= 0:
        return None
    unshifted = Calibration(own, relevance, 0.0, mismatch)
    threshold = _threshold(half, half.scores(unshifted)[TOGETHER], false_rate)
    return replace(unshifted, bias=math.floor(-threshold * 1e4) / 1e4)


def figures(first: Half, second: Half, calibration: Calibration | None, false_rate: float) -> Iterator[Figure]:
    """What each declines of the second half, with thresholds of the first; and how well it tells the kinds apart."""
    scores = second.scores(calibration)
    for way, fitted in first.scores(calibration).items():
        threshold = 0.0 if way == TOGETHER else _threshold(first, fitted, false_rate)
        for kind in KINDS:
            values = second.of(scores[way], kind)
            if not len(values):
                continue
            unit = "% wrong" if kind == ANSWERABLE else "%"
            yield Figure(f"{way}: {kind}, declined", unit, _share(values > threshold), note=f"{len(values)} questions")
            if kind != ANSWERABLE:
                area = area_under_curve(values, second.of(scores[way], ANSWERABLE))
                yield Figure(f"{way}: {kind}, told from answerable", "of 1", area, note="area under the ROC curve")
    for kind in KINDS:
        unsupported = second.of(second.unsupported, kind)
        if len(unsupported):
            yield Figure(f"{kind}, answer not supported", "%", _share(unsupported), note="where none is declined")


def curve(half: Half, calibration: Calibration | None) -> Iterator[dict[str, Any]]:
    """What each declines at several rates of answerable questions declined, in percent of this half itself."""
    for rate in _RATES:
        row: dict[str, Any] = {"answerable_declined_%": 100 * rate}
        for way, scores in half.scores(calibration).items():
            threshold = _threshold(half, scores, rate)
            for kind in KINDS[1:]:
                if len(values := half.of(scores, kind)):
                    row[f"{way}: {kind} %".replace(" ", "_")] = _share(values > threshold)
        yield row


def _threshold(half: Half, scores: NDArray[float64], rate: float) -> float:
    """Above which so many of the answerable questions are, at most; but for those that are declined in any case."""
    ordered = np.sort(half.of(scores, ANSWERABLE))[::-1]
    in_any_case = int(np.isinf(ordered).sum())
    place = max(int(rate * len(ordered)), in_any_case)
    return float(ordered[min(place, len(ordered) - 1)])


def _share(flags: NDArray[np.bool_]) -> float:
    return round(100 * float(flags.mean()), 1)


def _only(dataset: Dataset, articles: Sequence[str]) -> Dataset:
    """With questions about some articles only; all are searched."""
    wanted = {name.replace("_", " ") for name in articles}
    if unknown := wanted - {entry.group for entry in dataset.entries}:
        raise RagError(f"{dataset.name} has no article {min(unknown)!r}")
    if not wanted:
        return dataset
    queries = tuple(query for query in dataset.queries if query.group in wanted)
    return replace(
        dataset,
        queries=queries,
        unanswerable=tuple(query for query in dataset.unanswerable if query.group in wanted),
    )


def _measured(half: Half, calibration: Calibration, asked: TogetherEval, model: str) -> dict[str, Any]:
    scores = half.scores(calibration)[TOGETHER]
    declined = {kind: _share(half.of(scores, kind) > 0) for kind in KINDS if len(half.of(scores, kind))}
    return {
        "model": model,
        "data": asked.data.name,
        "articles": list(asked.only),
        "questions": len(half.kinds),
        "declined_%": declined,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _keep(settings: Settings, asked: TogetherEval, calibration: Calibration) -> str:
    """Writes the calibration where that is wanted; a line about both."""
    weights = ", ".join(f"{name} {asdict(calibration)[name]:g}" for name in ("own", "relevance", "mismatch", "bias"))
    if not asked.write:
        return f"{weights}; not written, as --no-write says"
    file = asked.out or settings.calibration_file(calibration.of_model)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        calibration.write(file)
    except OSError as error:
        raise RagError(f"{file}: the calibration cannot be written ({error.strerror})") from error
    return f"{weights}; written to {file}"
