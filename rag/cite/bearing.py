"""How likely an answer's place in a passage bears it out: a probability from what surrounds it."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from rag.cite.kinds import fits
from rag.terms import terms

if TYPE_CHECKING:
    from rag.cite.surroundings import Place, Surroundings

_ALONE = 0.3  # the lead over others where there are none


@dataclass(frozen=True, slots=True)
class Signs:
    """What speaks for an answer where it stands.

    Attributes:
        sentence_lead: how much more alike the question is to its sentence than to the passage's best one, at most 0.
        place_lead: the same for the text around it.
        others_lead: how far it is ahead of the best of its kind in the passage.
        is_alone: 1 where nothing else is of its kind.
        distance: see `Place`; likewise `rarest_near`.
        shared: share of the question's terms in its sentence or the headings.
        repeated: share of its own terms that are the question's.
        misfit: 1 where it is not of the kind that the question asks for; `fit` where it is.
    """

    sentence_lead: float
    place_lead: float
    others_lead: float
    is_alone: float
    distance: float
    rarest_near: float
    shared: float
    repeated: float
    misfit: float
    fit: float

    @property
    def values(self) -> tuple[float, ...]:
        """In the order of the weights."""
        return astuple(self)


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression over signs, and the probability from which on an answer counts as borne out."""

    values: tuple[float, ...]
    bias: float
    threshold: float

    def probability(self, signs: Signs) -> float:
        """How likely the answer is borne out."""
        score = self.bias + sum(weight * value for weight, value in zip(self.values, signs.values, strict=True))
        return 1 / (1 + math.exp(-score))


# Fitted and measured by `rag eval citations` on questions of SQuAD: see there, and README for what came of it.
WITH_VECTORS = Weights((15.64, 2.83, 0.7, -0.06, -0.95, 0.97, -0.61, 0.66, 1.23, 0.42), 4.0, 0.74)
BY_TEXT = Weights((0.0, 0.0, 0.5, 0.5, -0.73, 0.94, 2.22, 0.59, -1.64, 0.19), 0.64, 0.74)


def signs(answer: str, question: str, place: Place, around: Surroundings) -> Signs:
    """What speaks for an answer that stands at a place."""
    others = around.others(place, answer, question)
    lead = place.rank - max(other.rank for other in others) if others else _ALONE
    own, asked = set(terms(answer)), set(terms(question))
    kind = fits(question, answer)
    return Signs(
        sentence_lead=around.in_sentence(place.sentence) - around.best_in_sentence,
        place_lead=place.around - around.best_around,
        others_lead=max(-1.0, min(1.0, lead)),
        is_alone=float(not others),
        distance=place.distance,
        rarest_near=place.rarest_near,
        shared=around.share_in(place.sentence),
        repeated=len(own & asked) / len(own) if own else 0.0,
        misfit=float(kind < 0),
        fit=float(kind > 0),
    )
