"""A conversation: what was asked and answered before, and what a question means after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.abstain import refuses
from rag.conversation.leaning import leans
from rag.conversation.split import split
from rag.question import LEANS_ON
from rag.terms import terms, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    TermWeights = Callable[[Iterable[str]], dict[str, float]]
    Rewrite = Callable[[str, Sequence["Turn"]], str | None]

MAX_TURNS = 50
MAX_ANSWER_CHARACTERS = 100_000

_MAX_CARRIED = 8  # terms of the question before, the rarest
_MAX_NAMES = 4  # of its answer
_MIN_OWN = 3  # terms of a question that need no more than a name
_NAME = re.compile(r"\b[A-Z0-9]\w*(?:['’.-]\w+)*")


@dataclass(frozen=True, slots=True)
class Turn:
    """A question that was asked before, and what was answered."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """A question as it is to be understood.

    Attributes:
        searched: what is searched for: what it means, or each of its parts does.
        prompted: how the model is asked.
    """

    searched: tuple[str, ...]
    prompted: str


def needed(question: str, history: Sequence[Turn]) -> tuple[Turn, ...]:
    """What a question needs to be understood of what was said before: nothing, if it stands by itself.

    Else the turns back to the last question that did, or to the one that changed the topic.
    """
    if not history or not leans(question):
        return ()
    first = next((place for place in reversed(range(len(history))) if not leans(history[place].question)), 0)
    return tuple(history[first:])


def understand(
    question: str,
    history: Sequence[Turn],
    weights: TermWeights,
    *,
    in_parts: bool = True,
    rewrite: Rewrite | None = None,
) -> Meaning:
    """What a question means after what was said.

    Args:
        weights: gives each term its rarity.
        in_parts: whether what asks several things is searched for part by part.
        rewrite: states a question so that it stands by itself, or gives None; its terms are completed then.
    """
    said = needed(question, history)
    rewritten = rewrite(question, said) if said and rewrite is not None else None
    if rewritten is not None:
        question, said = rewritten, ()
    about = " ".join(_carried(question, said, weights)) if said else ""
    # The earlier question in front would be answered by small models in place of this one.
    prompted = f"{question}{LEANS_ON}{about})" if about else question
    searched = []
    for part in split(question) if in_parts else (question,):
        searched.append(completed(part, needed(part, said), weights))
        said = (*said, Turn(part, ""))
    return Meaning(tuple(searched), prompted)


def completed(question: str, said: Sequence[Turn], weights: TermWeights) -> str:
    """A question with the terms of what was said that it leans on, as a search needs them."""
    return " ".join((question, *_carried(question, said, weights))) if said else question


def _carried(question: str, said: Sequence[Turn], weights: TermWeights) -> list[str]:
    """The words of what was said that a search needs.

    To a question with words of its own these are the names, as a pronoun stands for one of them; to one with hardly any
    ("and when?") all that tells.
    """
    own = set(terms(question))
    asked = {stem: word for turn in said for word, stem in words(turn.question) if stem not in own}
    names = _names(" ".join(turn.question[1:] for turn in said))
    if len(own) < _MIN_OWN or not names & set(asked):
        rarity = weights(asked)
        names = set(sorted(asked, key=lambda stem: -rarity[stem])[:_MAX_CARRIED])
    answer = "" if refuses(said[-1].answer) else said[-1].answer
    new = _names(answer) - own - set(asked)
    answered = {stem: word for word, stem in words(answer) if stem in new and not word[0].isdigit()}
    return [asked[stem] for stem in asked if stem in names] + list(answered.values())[:_MAX_NAMES]


def _names(text: str) -> set[str]:
    """The terms in a text that are written with a capital letter, or with digits."""
    return {stem for name in _NAME.findall(text) for _, stem in words(name)}
