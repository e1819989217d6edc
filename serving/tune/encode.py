"""Lessons as tokens: the same as the runtime makes of the prompts that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

from serving.errors import InvalidRequestError, ModelFormatError
from serving.native import rows_of
from serving.runtime import Prompt, SegmentKind

if TYPE_CHECKING:
    from serving.models.chat import ChatTemplate
    from serving.models.tokenizer import Tokenizer
    from serving.tune.types import Exchange, Lesson

_MARK = "4c1e7b20d9answer6a3f5e"


@dataclass(frozen=True, slots=True)
class EncodedPart:
    """A passage's text or a number.

    Attributes:
        is_apart: read behind the instructions alone, as passages are.
        rows: the tokens that stand in the prompt.
    """

    token_ids: tuple[int, ...]
    is_apart: bool
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EncodedExchange:
    """A question up to where the answer begins, and the answer with the token that ends it.

    Attributes:
        number_tokens: which tokens of the answer spell the numbers that it cites.
    """

    question_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    weight: float = 1.0
    number_tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodedLesson:
    """A lesson's tokens; `parts` are in the order of the prompt."""

    instructions: tuple[int, ...]
    parts: tuple[EncodedPart, ...]
    exchanges: tuple[EncodedExchange, ...]

    @property
    def num_context_tokens(self) -> int:
        """Tokens of the prompt before the question."""
        return len(self.instructions) + sum(len(part.rows) for part in self.parts)

    @property
    def num_tokens(self) -> int:
        """Tokens that training on it computes."""
        exchanges = sum(len(e.question_ids) + len(e.answer_ids) - 1 for e in self.exchanges)
        return len(self.instructions) + sum(len(part.token_ids) for part in self.parts) + exchanges


class LessonEncoder:
    """Encodes lessons for one model.

    Args:
        end_ids: the tokens at which the engine ends an answer.
        decline: the answer to what passages do not answer, which is encoded as it is. Others get a space before them,
            where a word is another token without one: the first word is then the token that it is in the passage,
            and need not be spelt anew.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        end_ids: tuple[int, ...],
        max_position: int,
        decline: str | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._max_position = max_position
        self._decline = decline
        self._space = "" if tokenizer.encode("a the")[-1:] == tokenizer.encode("the") else " "
        self.end_id = _end_of_turn(tokenizer, template, end_ids)
        self._frame = lru_cache(maxsize=16)(self._frame_once)

    def encode(self, lesson: Lesson) -> EncodedLesson:
        """Tokens of a lesson.

        Raises:
            InvalidRequestError: it is longer than the model's context.
        """
        before, after = self._frame(lesson.instructions)
        prompt = Prompt(lesson.instructions, lesson.passages, "", lesson.numbers_first)
        parts = [self._part(part.text, part.kind is SegmentKind.PASSAGE, part.kept) for part in prompt.segments[1:]]
        exchanges = tuple(self._exchange(exchange, after) for exchange in lesson.exchanges)
        encoded = EncodedLesson(before, tuple(parts), exchanges)
        longest = encoded.num_context_tokens + max(len(e.question_ids) + len(e.answer_ids) for e in exchanges)
        if longest > self._max_position:
            raise InvalidRequestError(
                f"a lesson has {longest} tokens in a row (it asks {lesson.exchanges[0].question[:60]!r}), the model "
                f"reads {self._max_position}; give it fewer or shorter passages"
            )
        return encoded

    def plain(self, text: str) -> tuple[int, ...]:
        """Tokens of an answer alone."""
        return tuple(self._tokenizer.encode(text))

    def _part(self, text: str, is_passage: bool, kept: tuple[tuple[int, int], ...]) -> EncodedPart:
        token_ids = tuple(self._tokenizer.encode(text))
        if not kept:
            return EncodedPart(token_ids, is_passage, tuple(range(len(token_ids))))
        ranges = rows_of(self._tokenizer.token_offsets(text), kept)
        return EncodedPart(token_ids, is_passage, tuple(chain.from_iterable(range(*r) for r in ranges)))

    def _exchange(self, exchange: Exchange, after: tuple[int, ...]) -> EncodedExchange:
        text = exchange.answer if exchange.answer == self._decline else self._space + exchange.answer.lstrip()
        answer = self._tokenizer.encode(text)
        offsets = [*self._tokenizer.token_offsets(text), len(text)]
        numbers = tuple(
            place
            for place in range(len(answer))
            if text[offsets[place] : offsets[place + 1]].strip().isdigit()
            and text[: offsets[place]].rstrip("0123456789").endswith("[")
        )
        question = self._tokenizer.encode(exchange.question)
        return EncodedExchange((*question, *after), (*answer, self.end_id), exchange.weight, numbers)

    def _frame_once(self, instructions: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        before, after = self._template.around(instructions)
        return tuple(self._tokenizer.encode_template(before)), tuple(self._tokenizer.encode_template(after))


def _end_of_turn(tokenizer: Tokenizer, template: ChatTemplate, end_ids: tuple[int, ...]) -> int:
    """The token that the model's template puts behind an answer; it must be one that the engine ends at."""
    if not end_ids:
        raise ModelFormatError("the model's files do not say which token ends an answer")
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARK}]
    behind = template.render(turns).rpartition(_MARK)[2]
    return next((token_id for token_id in tokenizer.encode_template(behind) if token_id in end_ids), end_ids[0])
