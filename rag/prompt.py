"""The prompt: instructions, then numbered passages, then the question, within a budget of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.runtime import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.events import Passage
    from serving.runtime import Runtime

INSTRUCTIONS = (
    "Answer the question using only the numbered passages. "
    "Answer in one short sentence, and cite the passage it comes from, like [1]."
)
_FRAME_TOKENS = 96  # instructions, template and a question of usual length
_HEADING_TOKENS = 32  # a passage's number, document and headings
NOT_ANSWERED = "The documents do not answer this question."


def fitting(passages: tuple[Passage, ...], max_tokens: int) -> tuple[Passage, ...]:
    """The best passages that a prompt has room for, by the lengths counted at ingest; at least one, if there is one."""
    used, kept = _FRAME_TOKENS, 0
    for passage in passages:
        used += passage.num_tokens + _HEADING_TOKENS
        if used > max_tokens and kept:
            break
        kept += 1
    return passages[:kept]


def build_prompt(question: str, passages: Sequence[Passage], runtime: Runtime, max_tokens: int) -> Prompt:
    """The prompt with as many of the best passages as fit; at least one, whatever its length.

    The best passage stands last, next to the question: small models read that place best.

    Args:
        max_tokens: budget of the whole prompt, the chat template included.
    """
    budget = min(max_tokens, runtime.context_length // 2)
    texts: list[str] = []
    used = runtime.count_tokens(Prompt(INSTRUCTIONS, (), _question(question)))
    for passage in passages:
        text = _numbered(passage)
        used += runtime.count_text_tokens(text)
        if used > budget and texts:
            break
        texts.append(text)
    return Prompt(INSTRUCTIONS, tuple(reversed(texts)), _question(question))


def _numbered(passage: Passage) -> str:
    """A passage below its document's name and those of its headings that its text does not begin with."""
    section = [heading for heading in passage.section if not passage.text.startswith(heading)]
    heading = " > ".join((passage.document_name, *section))
    return f"[{passage.number}] {heading}\n{passage.text}\n\n"


def _question(question: str) -> str:
    return f"Question: {question}"
