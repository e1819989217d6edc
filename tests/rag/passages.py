"""Passages to test with."""

from __future__ import annotations

from rag.events import Passage


def passage(number: int, text: str, start: int = 0) -> Passage:
    """A passage of a document of its own, `doc1.md` and so on, that begins at a character of it."""
    return Passage(
        number=number,
        document_id="0" * 64,
        document_name=f"doc{number}.md",
        path=f"/docs/doc{number}.md",
        collection="default",
        ordinal=0,
        pages=(),
        section=(),
        text=text,
        num_tokens=20,
        start=start,
        end=start + len(text),
        score=1.0,
        similarity=0.5,
    )
