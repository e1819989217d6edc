"""How well held-out questions are answered with a head, and without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ingest.embed.bert import Hidden
from ingest.embed.packed import Encoded
from rag.rerank.late import LateReranker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float64
    from numpy.typing import NDArray

    from ingest.embed.late import LateEncoder
    from rag.rerank.tune.material import Material
    from rag.rerank.types import Candidate

_NUM_QUESTIONS = 200  # of each material
_TOP = 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """The mean reciprocal rank within the first ten, on the same held-out questions.

    Attributes:
        hybrid: without reranking.
        before: with the head in use; None where there is none.
        after: with the new one.
        gain: of the new head over the better of the others, with its 95% interval.
    """

    num_questions: int
    hybrid: float
    before: float | None
    after: float
    gain: float
    interval: tuple[float, float]

    @property
    def helps(self) -> bool:
        """Whether the new head is better, by more than chance would have it."""
        return self.interval[0] > 0


def compare(materials: Sequence[Material], before: LateEncoder | None, after: LateEncoder) -> Comparison:
    """The new head beside what there is."""
    from rag.eval.scores import paired_intervals

    hybrid = np.concatenate([_ranks(one, None) for one in materials])
    new = np.concatenate([_ranks(one, after) for one in materials])
    old = np.concatenate([_ranks(one, before) for one in materials]) if before else None
    best = hybrid if old is None or hybrid.mean() >= old.mean() else old
    difference = new - best
    (interval,) = paired_intervals(difference[:, None])
    known = None if old is None else float(old.mean())
    return Comparison(len(new), float(hybrid.mean()), known, float(new.mean()), float(difference.mean()), interval)


def _ranks(material: Material, late: LateEncoder | None) -> NDArray[float64]:
    """The reciprocal rank of the first right passage for each held-out question."""
    questions = material.held_out[:_NUM_QUESTIONS]
    reranker = LateReranker(material.rag.index, late) if late else None
    found = []
    for question in questions:
        candidates = material.candidates(question)
        if late and reranker and candidates:
            scores = reranker.judge(question.text, candidates, _kept(material, late, candidates))
            candidates = tuple(candidates[place] for place in np.argsort([-score for score in scores], kind="stable"))
        ranks = (rank for rank, one in enumerate(candidates[:_TOP], start=1) if one.hit.chunk_id in question.relevant)
        found.append(1 / next(ranks, np.inf))
    return np.array(found)


def _kept(material: Material, late: LateEncoder, candidates: Sequence[Candidate]) -> dict[int, bytes]:
    """Token vectors of candidates from states that are at hand."""
    import torch

    chunk_ids = [candidate.hit.chunk_id for candidate in candidates]
    texts = material.states(chunk_ids)
    offsets = np.cumsum([0, *(len(ids) for _, ids in texts)]).tolist()
    hidden = Hidden(torch.cat([states for states, _ in texts]).float(), tuple(offsets))
    encoded = Encoded(np.empty((0, 0), dtype=np.float32), [ids for _, ids in texts], hidden)
    return dict(zip(chunk_ids, late.pack(encoded), strict=True))
