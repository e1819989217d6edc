"""More passages than a prompt has, and prompts that are drawn from them: each new, and none beginning as another."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from rag.demo.run import demo_folder
from rag.errors import RagError
from rag.events import Passage
from rag.prompt import build_prompt
from serving.states.types import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rag.bench.ttft.plan import TtftBench
    from serving.native import NativeRuntime
    from serving.runtime import Prompt, PromptPassage

_COLLECTION = "bench"
_POOLED = "pool"
_SEED = 7
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_LEAST_CHARACTERS = 30
_LEAST_TOKENS = 8
_LONG_WORD = 5

T = TypeVar("T")


def sentences() -> list[str]:
    """Those of the demo's Markdown documents."""
    files = sorted((demo_folder() / "docs").glob("*.md"))
    blocks = (block for file in files for block in file.read_text(encoding="utf-8").split("\n\n"))
    found = (sentence for block in blocks for sentence in _SENTENCE.split(" ".join(block.split())))
    return list(dict.fromkeys(sentence for sentence in found if len(sentence) >= _LEAST_CHARACTERS))


def texts(count: int, num_tokens: int, offsets: Callable[[str], Sequence[int]]) -> Iterator[str]:
    """Texts of so many tokens, each of the demo's sentences in an order of its own.

    Args:
        offsets: the character at which each token of a text begins.
    """
    chance = np.random.default_rng(_SEED)
    known = sentences()
    for _ in range(count):
        text = ""
        while len(starts := offsets(text)) <= num_tokens:
            text = " ".join((text, *_sample(known, len(known), chance))).strip()
        yield text[: starts[num_tokens]].rstrip()


def questions(count: int) -> list[str]:
    """Questions of ordinary length, each about words that stand in some sentence."""
    chance = np.random.default_rng(_SEED)
    known = sentences()
    found = []
    for number in range(count):
        words = sorted(set(re.findall(rf"[A-Za-z]{{{_LONG_WORD},}}", known[number % len(known)])))
        about = _sample(words, min(3, len(words)), chance)
        found.append(f"What do the documents say about {' and '.join(about) or 'measuring'}?")
    return found


@dataclass(frozen=True, slots=True)
class Draw:
    """A prompt, and what it is called.

    Attributes:
        name: no other draw's.
        prompt: its passages belong to the pool's document.
    """

    name: str
    prompt: Prompt

    @property
    def unread(self) -> Prompt:
        """The same passages as those of a document that nothing was kept of yet."""
        passages = (replace(passage, owner=self.owner) for passage in self.prompt.passages)
        return replace(self.prompt, passages=tuple(passages))

    @property
    def owner(self) -> Owner:
        """The document of `unread`."""
        return Owner(_COLLECTION, self.name)


class Pool:
    """Passages as retrieval gives them, of which prompts are made as they are for a question to `rag ask`.

    Raises:
        RagError: the passages are to be shorter than their headings, or their prompts longer than the model's are.
    """

    def __init__(self, bench: TtftBench, runtime: NativeRuntime, *, numbers_first: bool) -> None:
        self._bench = bench
        self._runtime = runtime
        self._numbers_first = numbers_first
        around = runtime.count_text_tokens(f"{_name(bench.num_pooled)}\n") + 1
        if bench.passage_tokens < around + _LEAST_TOKENS:
            raise RagError(
                f"passages of {bench.passage_tokens} tokens have no text; give them {around + _LEAST_TOKENS}"
            )
        made = texts(bench.num_pooled, bench.passage_tokens - around, runtime.engine.tokenizer.token_offsets)
        self._pooled = [_passage(number, text) for number, text in enumerate(made)]
        self._chance = np.random.default_rng(_SEED)
        self._firsts = iter(_sample(self._pooled, len(self._pooled), self._chance))
        self._questions = iter(questions(len(self._pooled)))

    @property
    def passages(self) -> list[PromptPassage]:
        """All of them, as they stand in prompts but for their numbers."""
        return [self._prompt("", [passage]).passages[0] for passage in self._pooled]

    @property
    def instructions(self) -> str:
        """What stands before them."""
        return self._prompt("", self._pooled[:1]).instructions

    def draw(self, num_passages: int) -> list[Draw]:
        """Prompts of so many passages; the first passage of each was no other's first, ever."""
        return [self._draw(num_passages, first) for first in islice(self._firsts, self._bench.num_draws)]

    def _draw(self, num_passages: int, first: Passage) -> Draw:
        others = [passage for passage in self._pooled if passage is not first]
        drawn = [*_sample(others, num_passages - 1, self._chance), first]  # the last of the ranking stands first
        ranked = [replace(passage, number=rank) for rank, passage in enumerate(drawn, start=1)]
        return Draw(f"{num_passages} from {first.document_name}", self._prompt(next(self._questions), ranked))

    def _prompt(self, question: str, ranked: Sequence[Passage]) -> Prompt:
        prompt = build_prompt(
            question, ranked, self._runtime, self._bench.max_tokens, numbers_first=self._numbers_first
        )
        if len(prompt.passages) < len(ranked):
            raise RagError(
                f"{len(ranked)} passages of {self._bench.passage_tokens} tokens are more than "
                f"{self._runtime.name} is given; measure fewer or shorter ones"
            )
        return prompt


def _sample(among: Sequence[T], count: int, chance: np.random.Generator) -> list[T]:
    return [among[place] for place in chance.permutation(len(among))[:count]]


def _name(number: int) -> str:
    return f"notes-{number:03}.txt"


def _passage(number: int, text: str) -> Passage:
    return Passage(
        number=1,
        document_id=_POOLED,
        document_name=_name(number),
        path="",
        collection=_COLLECTION,
        ordinal=number,
        pages=(),
        section=(),
        text=text,
        num_tokens=0,
        start=0,
        end=len(text),
        score=0.0,
        similarity=0.0,
    )
