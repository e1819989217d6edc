"""Where sentences end, and the numbers of passages between them."""

from __future__ import annotations

import re

MARKER = re.compile(r"\[([0-9]{1,3}(?:\s*[,;]\s*[0-9]{1,3})*)\]")
MARKER_BEGUN = re.compile(r"\[[0-9\s,;]{0,16}$")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*(?:\s*\[[0-9]{1,3}\])*(?=\s)|\n")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|Nos|vs|cf|approx|ca|Fig|Eq|Inc|Ltd|Co|Jr|Sr|e\.g|i\.e|etc|p|pp)|\b[A-Z])\.$"
)


def without_markers(text: str) -> str:
    """An answer without the numbers of passages in it."""
    return MARKER.sub("", text)


def plain(text: str) -> str:
    """A text without markers, with single spaces."""
    return " ".join(without_markers(text).split())


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences and lines of a text begin and end, in characters, white space left out."""
    spans, start = [], 0
    while start < len(text):
        length = boundary(text[start:] + "\nX")
        end = len(text) if length is None else min(start + length, len(text))
        stripped = text[start:end].strip()
        if stripped:
            first = start + text[start:end].index(stripped)
            spans.append((first, first + len(stripped)))
        start = max(end, start + 1)
    return spans


def boundary(text: str) -> int | None:
    """Length of the first sentence of a text, if what follows shows that it has ended."""
    for end in _SENTENCE_END.finditer(text):
        following = text[end.end() :].lstrip()
        if not text[: end.start()].strip() or not following or MARKER.match(following):
            continue
        if end[0] != "\n" and (_ABBREVIATION.search(text[: end.start() + 1]) or following[0].islower()):
            continue
        return end.start() if end[0] == "\n" else end.end()
    return None
