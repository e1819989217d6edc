"""What a lesson is made of before its passages have numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.events import Passage
from rag.prompt import MODEL_DECLINES, instructions, numbered_passage, question_segment
from serving.runtime import PromptPassage
from serving.tune.types import Exchange, Lesson

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

MAX_SIZE = 1900  # of a lesson, in tokens as `size_of` guesses them
_TURN = 9  # tokens of the chat template around an exchange
_LETTERS = 4.6  # of English words go into a token, with the space in front; every digit and sign is one


@dataclass(frozen=True, slots=True)
class Source:
    """A passage with the names that stand above it."""

    name: str
    text: str
    section: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """A part of an answer, and what it is read from: places in the lesson's sources."""

    text: str
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer in parts; none if the sources do not answer it."""

    question: str
    said: tuple[Said, ...] = ()
    weight: float = 1.0


def is_sentence(text: str) -> bool:
    """Whether a part of an answer ends with a full stop, which its number then stands before."""
    return text.endswith(".") and " " in text


def answer_of(asked: Asked, numbers: Sequence[int]) -> str:
    """An answer as the model gives it; `numbers[place]` is that of a source."""
    if not asked.said:
        return MODEL_DECLINES
    parts = []
    for said in asked.said:
        markers = "".join(f"[{numbers[place]}]" for place in said.sources)
        sentence = is_sentence(said.text)
        parts.append(f"{said.text[:-1]} {markers}." if sentence else f"{said.text} {markers}")
    return (" " if is_sentence(asked.said[0].text) else ", ").join(parts)


def size_of(text: str) -> float:
    """About how many tokens a text has, for want of a tokenizer."""
    letters = sum(one.isalpha() or one == " " for one in text)
    return letters / _LETTERS + len(text) - letters


def lesson_of(sources: Sequence[Source], asked: Sequence[Asked], drawn: random.Random) -> Lesson:
    """Sources in any order, numbered as in a prompt, with as many of the questions as a lesson has room for."""
    order = list(range(len(sources)))
    drawn.shuffle(order)
    numbers = [order.index(place) + 1 for place in range(len(sources))]
    passages = [_passage(sources[place], number) for number, place in enumerate(order, start=1)]
    exchanges: list[Exchange] = []
    room = MAX_SIZE - sum(size_of(passage.text) for passage in passages)
    for one in asked:
        exchange = Exchange(question_segment(one.question), answer_of(one, numbers), one.weight)
        room -= size_of(exchange.question) + size_of(exchange.answer) + _TURN
        if room < 0 and exchanges:
            break
        exchanges.append(exchange)
    return Lesson(instructions(numbers_first=False), tuple(reversed(passages)), tuple(exchanges))


def _passage(source: Source, number: int) -> PromptPassage:
    passage = Passage(
        number=number,
        document_id=source.name,
        document_name=source.name,
        path=source.name,
        collection="",
        ordinal=0,
        pages=(),
        section=source.section,
        text=source.text,
        num_tokens=0,
        start=0,
        end=len(source.text),
        score=1.0,
        similarity=1.0,
    )
    shown = numbered_passage(passage, numbers_first=False)
    return PromptPassage(shown.text, shown.number)
