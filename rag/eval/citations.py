"""`rag eval citations`: how often a citation that is shown as verified is one that supports what is said."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.app import Rag
from rag.bench.machine import describe_machine
from rag.bench.report import Figure, Report
from rag.cite import load_checks
from rag.cite.bearing import Signs
from rag.cite.claim import Claim
from rag.cite.support import Support, Supporter
from rag.errors import RagError
from rag.eval.citation_pairs import ELSEWHERE, IS_RIGHT, MISSTATED, RIGHT, STATED, WRONG, Pair, pairs_of
from rag.eval.logistic import area_under_curve, cross_validated, fit
from rag.eval.retrieval.read import read_dataset
from rag.eval.retrieval.run import drawn
from rag.terms import rarity, terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rag.config import Settings
    from rag.eval.retrieval.dataset import Dataset

    Notify = Callable[[str], None]
    _Scores = np.ndarray[Any, np.dtype[np.float64]]

_BARE = (RIGHT, WRONG, ELSEWHERE)
_STATEMENTS = (STATED, MISSTATED)
_FEWEST = 20  # pairs on either side from which a rate can be told
_PRECISION = 0.97  # at which the recall is told; the thresholds in use rest on answers of the bundled model instead


@dataclass(frozen=True, slots=True)
class CitationsEval:
    """What to check.

    Attributes:
        data: a test collection whose answers are spans of its passages, see `read_dataset`; SQuAD's is one.
        num_questions: at most.
        only: articles whose questions are taken; all where none is named.
        without: articles whose questions are not.
        vectors: compare token vectors, as the product does where late interaction reranks.
        refit: find weights and threshold for these pairs.
    """

    data: Path
    num_questions: int = 300
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    vectors: bool = True
    refit: bool = False
    seed: int = 0


def eval_citations(settings: Settings, asked: CitationsEval, notify: Notify) -> Report:
    """Checks right and wrong answers against passages, as the product checks those of a model.

    Raises:
        RagError: there are no such questions, or too few.
    """
    machine = describe_machine()
    dataset = read_dataset(asked.data)
    weights = _rarities(dataset)
    only, without = ({title.replace("_", " ") for title in titles} for titles in (asked.only, asked.without))
    queries = [
        query
        for query in dataset.queries
        if query.evidence and (not only or query.group in only) and query.group not in without
    ]
    pairs = list(pairs_of(dataset, drawn(queries, asked.num_questions, asked.seed), weights, asked.seed))
    if Counter(pair.kind for pair in pairs)[RIGHT] < _FEWEST:
        raise RagError(f"{asked.data}: fewer than {_FEWEST} questions with answers to check; name other articles")
    with Rag.open(settings=settings, notify=notify) as rag:
        checks = load_checks(settings.nli_model, rag.late if asked.vectors else None, None)
        checked = []
        for number, pair in enumerate(pairs, start=1):
            notify(f"claim {number} of {len(pairs)}")
            begun = time.perf_counter()
            found = Supporter(pair.question, weights, checks).find(Claim.of(pair.question, pair.said), pair.passage)
            checked.append((pair, found, time.perf_counter() - begun))
    return Report(
        command="eval citations",
        machine=machine,
        settings={
            "from": asked.data.name,
            "articles": len({pair.group for pair in pairs}),
            "questions": sum(pair.kind == RIGHT for pair in pairs),
            "seed": asked.seed,
            "token vectors": checks.closeness is not None,
            "entailment": str(settings.nli_model or "no"),
        },
        figures=tuple(_figures(checked, refit=asked.refit)),
        warnings=machine.warnings,
        rows=tuple(_rows(checked)),
    )


_Checked = tuple[Pair, Support, float]


def _figures(checked: Sequence[_Checked], *, refit: bool) -> Iterator[Figure]:
    for name, kinds in (("answers", _BARE), ("statements", _STATEMENTS)):
        these = [each for each in checked if each[0].kind in kinds]
        verified = [pair.kind in IS_RIGHT for pair, found, _ in these if found.verified]
        right = [found for pair, found, _ in these if pair.kind in IS_RIGHT]
        wrong = [found for pair, found, _ in these if pair.kind not in IS_RIGHT]
        if verified and right and wrong:
            yield Figure(f"{name}: precision of verified", "%", 100 * float(np.mean(verified)), note=f"{len(verified)}")
            share = float(np.mean([found.verified for found in right]))
            yield Figure(f"{name}: recall of verified", "%", 100 * share, note=f"{len(right)} right")
            yield Figure(f"{name}: AUC", "of 1", area_under_curve(_scores(right), _scores(wrong)))
    bare = [each for each in checked if each[0].kind in _BARE]
    yield _at_precision("answers", [pair for pair, *_ in bare], _scores([found for _, found, _ in bare]))
    median = float(np.median([seconds for *_, seconds in checked]))
    yield Figure("time for a citation", "ms", 1000 * median, note="vectors of the passage's tokens included")
    if refit:
        yield _refitted(bare)


def _at_precision(name: str, pairs: Sequence[Pair], scores: _Scores, note: str = "") -> Figure:
    """How many of the right answers are verified at the threshold that just gives the precision."""
    right = np.array([pair.kind in IS_RIGHT for pair in pairs])
    best_first = np.argsort(-scores)
    precision = np.cumsum(right[best_first]) / np.arange(1, len(pairs) + 1)
    enough = np.flatnonzero(precision >= _PRECISION)
    threshold = float(scores[best_first[enough[-1]]]) if len(enough) else 1.0
    recall = float((scores[right] >= threshold).mean())
    note = f"threshold {threshold:.3f}{note}"
    return Figure(f"{name}: recall at {_PRECISION:.0%} precision", "%", 100 * recall, note=note)


def _scores(found: Sequence[Support]) -> _Scores:
    return np.array([0.0 if each.missing else each.likely for each in found])


def _refitted(checked: Sequence[_Checked]) -> Figure:
    """Weights fitted to these answers, and the threshold for them, by the signs alone."""
    known = [(pair, found.signs) for pair, found, _ in checked if found.signs is not None and not found.missing]
    values = np.array([astuple(signs) for _, signs in known])
    right = np.array([pair.kind in IS_RIGHT for pair, _ in known])
    weights, bias = fit(values, right)
    chances = cross_validated(values, right, [pair.group for pair, _ in known])
    found = ", ".join(f"{field.name} {weight:.2f}" for field, weight in zip(fields(Signs), weights, strict=True))
    return _at_precision("fitted anew", [pair for pair, _ in known], chances, f": {found}, bias {bias:.2f}")


def _rows(checked: Sequence[_Checked]) -> Iterator[dict[str, Any]]:
    for kind in (*_BARE, *_STATEMENTS):
        found = [support for pair, support, _ in checked if pair.kind == kind]
        if found:
            yield {
                "pair": kind,
                "claims": len(found),
                "facts missing %": round(100 * sum(bool(each.missing) for each in found) / len(found), 1),
                "verified %": round(100 * sum(each.verified for each in found) / len(found), 1),
            }


def _rarities(dataset: Dataset) -> Callable[[Iterable[str]], dict[str, float]]:
    counts = Counter(term for entry in dataset.entries for term in set(terms(entry.text)))
    return lambda wanted: {term: rarity(len(dataset.entries), counts[term]) for term in wanted}
