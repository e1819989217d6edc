"""Prompts from the documents of the demo: as a question to `rag ask` makes them, and single passages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.demo.run import demo_folder
from rag.events import Passage
from rag.prompt import build_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.runtime import Prompt, Runtime

_DOCUMENT = "about-sallowfield.md"
_QUESTION = "Who founded Sallowfield Instruments, and in which year?"
_PASSAGE_CHARACTERS = 900  # about 200 tokens


def demo_prompt(runtime: Runtime, max_tokens: int) -> Prompt:
    """Instructions, as many passages as fit into so many tokens, and a question."""
    return build_prompt(_QUESTION, tuple(_passages()), runtime, max_tokens)


def passages_of_demo() -> list[str]:
    """The demo's documents in pieces of about 200 tokens."""
    text = "\n\n".join(file.read_text(encoding="utf-8") for file in sorted((demo_folder() / "docs").glob("*.md")))
    return [text[start : start + _PASSAGE_CHARACTERS] for start in range(0, len(text), _PASSAGE_CHARACTERS)]


def _passages() -> Iterator[Passage]:
    start = 0
    for ordinal, text in enumerate(passages_of_demo()):
        yield Passage(
            number=ordinal + 1,
            document_id="",
            document_name=_DOCUMENT,
            path="",
            collection="",
            ordinal=ordinal,
            pages=(),
            section=(),
            text=text,
            num_tokens=0,
            start=start,
            end=start + len(text),
            score=0.0,
            similarity=0.0,
        )
        start += len(text)
