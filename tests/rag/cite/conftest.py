"""Passages to cite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rag.events import Passage


@pytest.fixture(scope="session")
def make_passage() -> Callable[..., Passage]:
    """Makes a passage of a number, a text, and what else is said of it."""

    def make(number: int, text: str, **known: Any) -> Passage:
        fields = {
            "document_id": str(number) * 64,
            "document_name": f"doc{number}.md",
            "path": f"/docs/doc{number}.md",
            "collection": "default",
            "ordinal": 0,
            "pages": (),
            "section": (),
            "num_tokens": 20,
            "start": 0,
            "end": len(text),
            "score": 1.0,
            "similarity": 0.5,
        }
        return Passage(number=number, text=text, **(fields | known))

    return make
