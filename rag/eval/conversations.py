"""Conversations made from questions in SQuAD's format: the second question leans on the first, by rule."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.conversation import Turn
from rag.terms import STOP_WORDS, terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.eval.squad import Article, SquadQuestion

SAME_PARAGRAPH = "a name left out, same paragraph"
SAME_ARTICLE = "a name left out, same article"
ELLIPTICAL = "only what is new is said"
STANDING = "stands by itself, same article"
CHANGED = "stands by itself, another topic"

_NAME = re.compile(r"(?:\b[Tt]he )?\b[A-Z][\w.-]*(?: (?:of |the |and |de |von )*[A-Z0-9][\w.-]*)*")
_WH = re.compile(
    r"(?:(?:in|at|on|by|for|to) )?(?:how (?:many|much|long|old|far|often)|what year|when|where|who|why)\b",
    re.IGNORECASE,
)
_SUBJECT_OF = re.compile(r"\b(?:did|does|do|was|is|are|were|has|had|have|would|could|will|can)\s+$", re.IGNORECASE)
_HE, _SHE = re.compile(r"\b(?:he|his|him)\b", re.IGNORECASE), re.compile(r"\b(?:she|her)\b", re.IGNORECASE)
_MIN_PRONOUNS = 2  # in a paragraph that is about a person
_SAME_SUBJECT = 0.75  # share of a question's terms that the one before it holds


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A question within a conversation.

    Attributes:
        question: as it is asked.
        complete: what it means.
        article: its title, of whose paragraphs number `paragraph` answers it.
        kind: how it leans on what was said before.
    """

    history: tuple[Turn, ...]
    question: str
    complete: str
    article: str
    paragraph: int
    kind: str


def follow_ups(articles: Sequence[Article], num_each: int, seed: int) -> list[FollowUp]:
    """Up to so many follow-ups of each kind, drawn from all articles."""
    drawn = random.Random(seed)  # noqa: S311 - to be drawn again
    asked = [(article, question) for article in articles for question in article.questions]
    drawn.shuffle(asked)
    found: dict[str, list[FollowUp]] = {
        kind: [] for kind in (SAME_PARAGRAPH, SAME_ARTICLE, ELLIPTICAL, STANDING, CHANGED)
    }
    for article, question in asked:
        other = drawn.choice([each for each in articles if each is not article] or [article])
        for made in _made_of(article, question, other, drawn):
            if len(found[made.kind]) < num_each:
                found[made.kind].append(made)
    return [made for kind in found.values() for made in kind]


def _made_of(article: Article, question: SquadQuestion, other: Article, drawn: random.Random) -> Iterator[FollowUp]:
    near = [each for each in article.questions if each.paragraph == question.paragraph and each is not question]
    far = [each for each in article.questions if each.paragraph != question.paragraph]
    drawn.shuffle(near)
    drawn.shuffle(far)
    paragraph = article.paragraphs[question.paragraph]
    for kind, before in ((SAME_PARAGRAPH, near), (SAME_ARTICLE, far)):
        for earlier in before:
            if (short := without_name(question.question, earlier.question, paragraph)) is not None:
                yield _follow_up(article, question, earlier, short, kind)
                break
    for earlier in near:
        if (short := elliptical(question.question, earlier.question)) is not None:
            yield _follow_up(article, question, earlier, short, ELLIPTICAL)
            break
    for kind, before in ((STANDING, far), (CHANGED, list(other.questions))):
        if before:
            yield _follow_up(article, question, drawn.choice(before), question.question, kind)


def without_name(question: str, earlier: str, paragraph: str) -> str | None:
    """The question with a pronoun for the longest name that it shares with the one before; None if there is none."""
    names = [match for match in _NAME.finditer(question) if match.start() > 0 and _bare(match[0]) in earlier]
    names = [match for match in names if _stands_alone(question, match) and question.count(_bare(match[0])) == 1]
    if not names:
        return None
    name = max(names, key=lambda match: len(match[0]))
    before, after = question[: name.start()], question[name.end() :]
    belongs = re.match(r"['’]s?(?=\s)", after)
    pronoun = _pronoun(paragraph, subject=bool(_SUBJECT_OF.search(before)), possessive=belongs is not None)
    short = before + pronoun + (after[belongs.end() :] if belongs else after)
    return short if terms(short) else None


def elliptical(question: str, earlier: str) -> str | None:
    """Only the question's own words, if it asks something else of the same subject; None if it does not."""
    wanted, there = set(terms(question)), set(terms(earlier))
    asks, asked = _WH.match(question), _WH.match(earlier)
    if asks is None or not wanted or len(wanted & there) / len(wanted) < _SAME_SUBJECT:
        return None
    if asked is not None and asks[0].casefold() == asked[0].casefold():
        return None
    return f"And {asks[0][0].lower()}{asks[0][1:]}?"


def _stands_alone(question: str, name: re.Match[str]) -> bool:
    """Whether a pronoun can take the name's place: it is not part of a longer noun, as in `the first Apollo crew`."""
    following = re.match(r"['’]s?\s|[?,.]|\s+(\w+)", question[name.end() :])
    ends = following is None or following[1] is None or following[1].casefold() in STOP_WORDS
    return bool(terms(name[0])) and (ends or _SUBJECT_OF.search(question[: name.start()]) is not None)


def _follow_up(article: Article, question: SquadQuestion, earlier: SquadQuestion, short: str, kind: str) -> FollowUp:
    turn = Turn(earlier.question, earlier.answers[0])
    return FollowUp((turn,), short, question.question, article.title, question.paragraph, kind)


def _pronoun(paragraph: str, *, subject: bool, possessive: bool) -> str:
    he, she = len(_HE.findall(paragraph)), len(_SHE.findall(paragraph))
    if max(he, she) < _MIN_PRONOUNS:
        return "its" if possessive else "it"
    if he >= she:
        return "his" if possessive else "he" if subject else "him"
    return "her" if possessive or not subject else "she"


def _bare(name: str) -> str:
    return name.removeprefix("the ").removeprefix("The ")
