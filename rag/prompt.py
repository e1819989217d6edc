"""The prompt: instructions, then passages with their numbers, then the question, within a budget of tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from serving.runtime import Prompt, PromptPassage
from serving.states.types import Owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexes.types import Chunk, Document
    from rag.events import Passage
    from serving.runtime import Runtime

PROMPT_VERSION = 2  # changes with any word below; an adapter says which it was trained with
_NUMBERS_FIRST = (
    "Answer the question from the passages. Each passage begins with its number: cite it, like [1]. "
    "If the passages do not answer the question, say only [0]."
)
_NUMBERS_BEHIND = (
    "Answer the question from the passages. Each passage ends with its number: cite it, like [1]. "
    "If the passages do not answer the question, say only [0]."
)
_BRACKETED_NUMBER = re.compile(r"\[(?=[ \t]*\d)(?:([^\[\]\n]*)\])?")
MODEL_DECLINES = "[0]"  # cites no passage; no answer begins with its first token
NOT_ANSWERED = "The documents do not answer this question."


def instructions(*, numbers_first: bool) -> str:
    """What the model is told before the passages: the same for every question, as states of passages rest on it."""
    return _NUMBERS_FIRST if numbers_first else _NUMBERS_BEHIND


def build_prompt(
    question: str, passages: Sequence[Passage], runtime: Runtime, max_tokens: int, *, numbers_first: bool = False
) -> Prompt:
    """The prompt with as many of the best passages as fit; at least one, whatever its length.

    The best passage stands last, next to the question: small models read that place best.

    Args:
        passages: best first.
        max_tokens: budget of the whole prompt, the chat template included.
        numbers_first: whether a passage's number stands before it or behind it.
    """
    budget = min(max_tokens, runtime.context_length // 2)
    empty = Prompt(instructions(numbers_first=numbers_first), (), question_segment(question), numbers_first)
    kept: list[PromptPassage] = []
    used = runtime.count_tokens(empty)
    for passage in passages:
        numbered = numbered_passage(passage, numbers_first=numbers_first)
        used += runtime.count_text_tokens(numbered.text) + runtime.count_text_tokens(numbered.number)
        if used > budget and kept:
            break
        kept.append(numbered)
    return Prompt(empty.instructions, tuple(reversed(kept)), empty.question, numbers_first)


def unnumbered_prompt(chunks: Sequence[tuple[Document, Chunk]], *, numbers_first: bool) -> Prompt:
    """Instructions and passages, word for word as `build_prompt` writes them for a question, without the question."""
    passages = (
        _plain(document.collection, document.id, document.name, chunk, numbers_first) for document, chunk in chunks
    )
    return Prompt(instructions(numbers_first=numbers_first), tuple(passages), "", numbers_first)


def as_read(text: str) -> str:
    """A document's text as the model reads it: with round brackets around what begins with a number.

    Numbers in square brackets are those of passages, and only we write them: a document with lines such as `[2]` must
    not begin another passage, nor lend its own references to an answer. All characters keep their places.
    """
    return _BRACKETED_NUMBER.sub(lambda found: "(" if found[1] is None else f"({found[1]})", text)


def question_segment(question: str) -> str:
    """A question as it ends a prompt."""
    return f"Question: {question}"


def numbered_passage(passage: Passage, *, numbers_first: bool) -> PromptPassage:
    """A passage as it stands in a prompt, with its number."""
    plain = _plain(passage.collection, passage.document_id, passage.document_name, passage, numbers_first)
    number = f"[{passage.number}]\n" if numbers_first else f"[{passage.number}]\n\n"
    return PromptPassage(plain.text, number, plain.owner)


def _plain(
    collection: str, document_id: str, document_name: str, found: Chunk | Passage, numbers_first: bool
) -> PromptPassage:
    """A passage below its document's name and those of its headings that its text does not begin with.

    Nothing of it depends on the question, and it ends with a line's end, so that neither neighbour merges with it.
    """
    section = [heading for heading in found.section if not found.text.startswith(heading)]
    heading = " > ".join((document_name, *section)).replace("\n", " ")
    end = "\n\n" if numbers_first else "\n"
    return PromptPassage(as_read(f"{heading}\n{found.text}{end}"), owner=Owner(collection, document_id))
