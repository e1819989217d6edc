"""What prompt lookup decoding gains on answers that quote their prompt, and costs on those that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.bench.prefix import WITHOUT
from rag.bench.prompts import passages_of_demo
from rag.bench.report import Figure
from rag.bench.timing import interleave
from serving.runtime import Completion, Prompt, PromptPassage
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.bench.compare import Contest
    from rag.bench.ours import Ours
    from serving.engine.engine import Engine

_NUM_PROMPTS = 3
_REPEAT = "Repeat the text above, word for word."
_INVENT = "Write a story about the sea and the stars."


@dataclass(frozen=True, slots=True)
class _Task:
    """What is asked for behind a passage."""

    name: str
    question: str
    params: SamplingParams


def lookup(contest: Contest) -> list[Figure]:
    """Decoding speed with drafts beside that without, for each of our formats."""
    tokens = contest.bench.answer_tokens
    # Drawn at random, an answer does not run in circles, which would be a quotation too.
    drawn = SamplingParams(max_new_tokens=tokens, temperature=1.0, seed=0)
    tasks = (
        _Task("answers that quote", _REPEAT, SamplingParams(max_new_tokens=tokens)),
        _Task("answers that do not quote", _INVENT, drawn),
    )
    return [_gain(contest, one, task) for task in tasks for one in contest.ours]


def _gain(contest: Contest, one: Ours, task: _Task) -> Figure:
    contest.notify(f"{task.name}, with and without prompt lookup ({one.name})")
    prompts = [
        one.runtime.encode(Prompt(task.question, (PromptPassage(text + "\n\n"),), task.question)).token_ids
        for text in passages_of_demo()[:_NUM_PROMPTS]
    ]
    engines = [one.new_engine(speculation=speculation) for speculation in (True, False)]
    answers: list[list[Completion]] = [[], []]

    def ask(place: int) -> None:
        answers[place] += [_answer(engines[place], prompt, task.params) for prompt in prompts]

    timings = interleave((0, 1), contest.bench.repeats, ask)
    for engine in engines:
        engine.close()
    counted = [given[-len(timing.seconds) * len(prompts) :] for given, timing in zip(answers, timings, strict=True)]
    with_drafts, without = (_tokens_per_s(completions) for completions in counted)
    return Figure(f"{task.name}, {one.name}", "tokens/s", with_drafts, {WITHOUT: without}, note=_accepted(counted[0]))


def _answer(engine: Engine, prompt: Sequence[int], params: SamplingParams) -> Completion:
    return next(event for event in engine.stream(prompt, params) if isinstance(event, Completion))


def _tokens_per_s(completions: Sequence[Completion]) -> float:
    """Of all answers, from their first tokens to their last."""
    return sum(one.completion_tokens - 1 for one in completions) / sum(one.decode_s for one in completions)


def _accepted(completions: Sequence[Completion]) -> str:
    drafted = sum(one.drafted_tokens for one in completions)
    accepted = sum(one.accepted_tokens for one in completions)
    tokens = sum(one.completion_tokens for one in completions)
    share = f" ({accepted / drafted:.0%})" if drafted else ""
    return f"{accepted} of {drafted} drafted tokens accepted{share}, {accepted / tokens:.0%} of the answers"
