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


# The weights are fitted to SQuAD's questions about 34 articles (`rag eval citations --without TITLE … --refit`).
# The thresholds are those from which on 95% of the bundled model's own answers about Black_Death, Kenya and
# Private_school are right, by a person's judgement; `rag eval answers FILE --oracle 4 --articles …` counts fewer, as
# part of an answer is none to it.
WITH_VECTORS = Weights((15.20, 2.96, 0.89, -0.13, -0.80, 0.78, -0.63, 0.67, -1.22, 0.40), 3.16, 0.68)
BY_TEXT = Weights((0.0, 0.0, 1.97, -0.66, -0.94, 0.68, 2.21, 0.59, -1.43, 0.36), 1.22, 0.65)


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
