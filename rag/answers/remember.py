"""Gives an answer that was given before at once, and keeps a new one for the next time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.answers.near import MIN_COSINE, same_question
from rag.answers.replay import as_text, replayed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy import float32
    from numpy.typing import NDArray

    from rag.answers.cache import AnswerCache
    from rag.answers.key import AnswerKey
    from rag.events import AnswerEvent


@dataclass(frozen=True, slots=True)
class Remembered:
    """The cache in use.

    Attributes:
        stamp: gives the index's, now.
        embed: gives a question's vector, if an answer to one that is nearly the same will do.
    """

    cache: AnswerCache
    stamp: Callable[[], str]
    embed: Callable[[str], NDArray[float32]] | None = None

    def events(
        self, key: AnswerKey, question: str, answer: Callable[[], Iterator[AnswerEvent]]
    ) -> Iterator[AnswerEvent]:
        """The events of the answer, from before or made now.

        What was made while the index changed is not kept, as nobody knows of which state it is.
        """
        since = time.perf_counter()
        kept = self.cache.get(key)
        vector = self.embed(key.question) if kept is None and self.embed is not None else None
        if kept is None and vector is not None:
            kept = self.cache.near(key, vector, MIN_COSINE, same_question)
        if kept is not None:
            yield from replayed(kept, question, since)
            self.cache.used(key)
            return
        self.cache.missed()
        made = []
        for event in answer():
            made.append(event)
            yield event
        if (text := as_text(made)) is not None and self.stamp() == key.stamp:
            self.cache.put(key, vector, text)
            if (now := self.stamp()) != key.stamp:  # who changed the index may have swept before this was written
                self.cache.sweep(now)
