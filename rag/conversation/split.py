"""Questions that ask several things at once, taken apart, so that each part is searched for by itself."""

from __future__ import annotations

import re

from rag.terms import terms

MAX_PARTS = 4
_ASKING = (
    r"(?:in |at |on |by |for |from |to |with |of |under |during )?(?:what|which|when|where|who|whom|whose|why|how)\b"
    r"|(?:is|are|was|were|does|do|did|has|have|can|could|will|would|should)\s+(?:the|a|an|it|they|he|she|there|this|that)\b"
)
_SENTENCE = re.compile(r"(?<=\?)\s+")
_ITEM = re.compile(r"(?:^|\n|(?<=[?:;.]))\s*(?:[-*•]|\(?\d{1,2}[.)]|\(?[a-h]\))\s+")
_JOINT = re.compile(
    rf"(?:,\s*|\s+)(?:and|or|but|as well as|and also|plus)\s+(?:also\s+)?(?={_ASKING})|;\s+(?={_ASKING})", re.IGNORECASE
)
_BEGINS = re.compile(rf"^\W*(?:and\s+|also\s+)?(?:{_ASKING})", re.IGNORECASE)


def split(question: str) -> tuple[str, ...]:
    """The parts of a question, each a question itself, in order; the question alone where it asks one thing.

    It is taken apart at question marks, at the items of a list, and where "and" joins two questions ("What is X, and
    when was Y?"): only if each part asks for something, as "When did he leave and where he went is unknown" does not.
    """
    for pieces in (_items(question), _sentences(question)):
        if len(pieces) > 1:
            parts = [part for piece in pieces for part in _joined(piece)]
            return tuple(parts[:MAX_PARTS])
    return tuple(_joined(question)[:MAX_PARTS])


def _items(question: str) -> list[str]:
    begun = [piece.strip() for piece in _ITEM.split(question)]
    items = [piece for piece in begun[1:] if terms(piece)]
    return items if len(items) > 1 and all(_asks(item) for item in items) else []


def _sentences(question: str) -> list[str]:
    pieces = [piece.strip() for piece in _SENTENCE.split(question)]
    return [piece for piece in pieces if terms(piece)] if sum(map(_asks, pieces)) > 1 else []


def _joined(question: str) -> list[str]:
    parts = [part.strip() for part in _JOINT.split(question)]
    if len(parts) < 2 or not all(_asks(part) and terms(part) for part in parts):  # noqa: PLR2004 - two make it several
        return [question]
    return [part if part.endswith("?") else f"{part.rstrip('.,;')}?" for part in parts]


def _asks(text: str) -> bool:
    return _BEGINS.search(text) is not None
