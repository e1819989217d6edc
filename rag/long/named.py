"""Which document a person means who asks for its summary."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from rag.long.table_question import header_terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexes.types import Document

_SUMMARY = re.compile(
    r"^\W*(?:please |can you |could you )?(?:summari[sz]e|sum up|(?:give|write)(?: me)? a summary of|"
    r"what (?:are|is) the (?:main points?|gist) of) (?:the )?(?:documents? |files? )?(?P<name>[^?]+?)\W*$",
    re.IGNORECASE,
)
_VAGUE = frozenset(header_terms("document file text page paper pdf docx md txt html"))


def summary_of(question: str) -> str | None:
    """The name of what is to be summarised; None where no summary is asked for."""
    found = _SUMMARY.match(" ".join(question.split()))
    return None if found is None else found["name"]


def document_named(name: str, documents: Sequence[Document]) -> Document | None:
    """The one document that is called so, by its name or by words of name and title; None for none, or several."""
    exact = [
        each for each in documents if name.casefold() in {each.name.casefold(), PurePath(each.name).stem.casefold()}
    ]
    wanted = header_terms(name) - _VAGUE
    meant = exact or [
        each for each in documents if wanted and wanted <= header_terms(f"{each.name} {each.title or ''}") - _VAGUE
    ]
    return meant[0] if len(meant) == 1 else None
