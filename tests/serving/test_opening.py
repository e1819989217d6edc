"""How an answer may begin is decided by one probability, at the first token alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from serving.engine.sampler import Sampler
from serving.errors import InvalidRequestError
from serving.runtime import Completion, TextPiece
from serving.sampling import Opening, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.engine.engine import Engine

PROMPT = list(range(10, 50))
PLAIN = {"max_new_tokens": 6}
SETTINGS = [
    PLAIN,
    {**PLAIN, "repetition_penalty": 1.3},
    {**PLAIN, "temperature": 1.0, "seed": 3},
    {**PLAIN, "logprobs": 1},
]


@pytest.fixture(scope="module")
def engine(tiny_engine: Any) -> Iterator[Engine]:
    engine = tiny_engine.engine()
    yield engine
    engine.check()
    engine.close()


def opened(engine: Engine, at_least: float, **settings: Any) -> tuple[list[int], list[TextPiece | Completion]]:
    """Tokens and events of an answer that may begin with a bracket."""
    stream = engine.stream(PROMPT, SamplingParams(**settings, opening=Opening("[0]", at_least)))
    events = list(stream)
    return stream.token_ids[0], events


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_begins_so_where_that_is_likely_enough_and_not_otherwise(
    tiny_engine: Any, engine: Engine, settings: dict[str, Any]
) -> None:
    bracket = engine.tokenizer.encode("[")[0]
    probability = float(tiny_engine.reference_logits(PROMPT)[-1].softmax(dim=-1)[bracket])
    for at_least, begins in ((probability * 0.99, True), (probability * 1.01, False), (0.0, True), (1.0, False)):
        tokens, events = opened(engine, at_least, **settings)
        assert (tokens[0] == bracket) is begins
        first, *others = events
        assert isinstance(first, TextPiece)
        assert (first.text, first.opening) == ("", pytest.approx(probability, rel=1e-3))
        assert all(event.opening is None for event in others if isinstance(event, TextPiece))


@pytest.mark.parametrize("settings", SETTINGS)
def test_an_answer_that_begins_otherwise_is_the_one_without_it(engine: Engine, settings: dict[str, Any]) -> None:
    assert opened(engine, 1.0, **settings)[0] == engine.generate(PROMPT, SamplingParams(**settings))


def test_only_the_first_token_is_decided() -> None:
    logits = torch.tensor([3.0, 2.0, 1.0])
    sampler = Sampler(SamplingParams(opening=Opening("[0]", 1.0)), [0], 3, opening_id=0)
    assert [sampler.next(logits, likeliest_id=0) for _ in range(3)] == [1, 0, 0]


def test_each_of_several_answers_tells_of_its_own_beginning(engine: Engine) -> None:
    params = SamplingParams(max_new_tokens=3, temperature=1.0, n=3, opening=Opening("[0]", 0.0))
    told = [event for event in engine.stream(PROMPT, params) if isinstance(event, TextPiece) and event.opening]
    assert sorted(piece.index for piece in told) == [0, 1, 2]


class Only:
    """A constraint: one token alone may come."""

    def mask(self) -> torch.Tensor:
        return torch.tensor([False, False, True])

    def advance(self, token_id: int) -> None:
        assert token_id == 2


@pytest.mark.parametrize("at_least", [0.0, 1.0])
@pytest.mark.parametrize("opening_id", [0, 2])
def test_what_must_come_is_not_overruled(opening_id: int, at_least: float) -> None:
    params = SamplingParams(opening=Opening("[0]", at_least))
    sampler = Sampler(params, [0], 3, [Only()], opening_id)
    assert sampler.next(torch.tensor([3.0, 2.0, 1.0])) == 2


def test_an_opening_of_nothing_or_of_no_probability_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="text of an opening must not be empty"):
        Opening("", 0.5)
    with pytest.raises(InvalidRequestError, match="between 0 and 1"):
        Opening("[0]", 1.5)
