"""Lessons put together from invented passages, with real ones among them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rag.tune.made.chains import chained, compared
from rag.tune.made.clauses import ruled
from rag.tune.made.draw import Draw
from rag.tune.made.facts import editions, repeated, told
from rag.tune.made.frames import DOMAINS
from rag.tune.made.orders import with_orders
from rag.tune.made.papers import headed
from rag.tune.made.reasons import explained
from rag.tune.made.rows import coded, ranked
from rag.tune.made.scene import Scene
from rag.tune.made.tables import codes, listed, specification, table
from rag.tune.source import Asked, lesson_of
from rag.tune.wording import reworded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.tune.source import Source
    from serving.tune.types import Lesson

_SCENES = (
    *(ruled, ruled, ruled, ruled, ruled, ruled, told, told, told, editions, editions, editions),
    *(table, table, table, table, specification, codes, listed, chained, chained, chained, repeated, compared),
    *(explained, explained, explained, ranked, ranked, ranked, ranked, coded, coded, headed, headed),
)
_DECLINED = 0.45  # questions without an answer, for each that has one
_MAX_SOURCES = 6
_WHO_IS = "Who is the "
_MAX_ASKED = 16
_REAL = 0.4  # lessons with a passage that is not invented
_ORDERS = 0.06  # lessons in which a passage gives orders to whoever reads it


def made_lessons(count: int, seed: int, others: Sequence[Source] = (), *, held_out: bool = False) -> Iterator[Lesson]:
    """Lessons about things that do not exist.

    Args:
        seed: the same one gives the same lessons.
        others: real passages, one of which stands among the invented ones now and then; they answer nothing.
        held_out: of names that lessons otherwise never use, to be evaluated with.
    """
    for number in range(count):
        draw = Draw(f"made {seed} {number} {held_out}", held_out=held_out)
        yield _lesson(draw, others)


def _lesson(draw: Draw, others: Sequence[Source]) -> Lesson:
    scene = Scene()
    wanted = draw.between(3, 5)
    for domain in draw.random.sample(DOMAINS, len(DOMAINS)):  # each once: two scenes may draw the same names
        if len(scene.sources) >= wanted:
            break
        more = draw.pick(_SCENES)(domain, draw)
        if len(scene.sources) + len(more.sources) <= _MAX_SOURCES:
            scene.add(more)
    if others and draw.chance(_REAL):
        scene.sources.append(draw.pick(others))
    if draw.chance(_ORDERS):
        scene.sources = with_orders(scene.sources, draw)
    answered = _unlike(scene.asked)
    draw.random.shuffle(answered)
    answered = answered[:_MAX_ASKED]
    known = {asked.question for asked in scene.asked}
    text = "\n".join(source.text for source in scene.sources)
    absent = [one for one in dict.fromkeys(scene.absent) if one not in known and not _named_in(text, one)]
    declined = draw.random.sample(absent, min(len(absent), round(_DECLINED * len(answered))))
    asked = [replace(one, question=reworded(one.question, draw.random)) for one in (*answered, *map(Asked, declined))]
    draw.random.shuffle(asked)
    return lesson_of(scene.sources, asked, draw.random)


def _named_in(text: str, question: str) -> bool:
    """Whether a text names the post that a question asks for, which another scene may have filled."""
    return question.startswith(_WHO_IS) and question.removeprefix(_WHO_IS).rstrip("?") in text.casefold()


def _unlike(asked: list[Asked]) -> list[Asked]:
    """Questions that are asked once: two answers to the same one would both be wrong."""
    questions = [one.question for one in asked]
    return [one for one in asked if questions.count(one.question) == 1]
