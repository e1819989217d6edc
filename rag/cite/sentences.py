"""Where sentences end, and the numbers of passages between them."""

from __future__ import annotations

import re

MARKER = re.compile(r"\[([0-9]{1,3}(?:\s*[,;]\s*[0-9]{1,3})*)\]")
MARKER_BEGUN = re.compile(r"\[[0-9\s,;]{0,16}$")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*(?:\s*\[[0-9]{1,3}\])*(?=\s)|\n")
_MIN_WRAPPED = 40  # characters of a line
_ENDS = ".!?…:;|"
_WORD = re.compile(r"[\w’'-]+(?=[\s,.;)]|$)")
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
    """Where the sentences and lines of a text begin and end, in characters, white space left out.

    A sentence goes on in the next line where that is how a text was wrapped.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        length = boundary(text[start:] + "\nX")
        end = len(text) if length is None else min(start + length, len(text))
        stripped = text[start:end].strip()
        if stripped:
            first = start + text[start:end].index(stripped)
            begun = spans.pop()[0] if spans and _is_wrapped(text, spans[-1][1], first) else first
            spans.append((begun, first + len(stripped)))
        start = max(end, start + 1)
    return spans


def _is_wrapped(text: str, end: int, start: int) -> bool:
    """Whether a line that ends here goes on in the next: it is long, nothing ends there, and a plain word follows."""
    line = text[text.rfind("\n", 0, end) + 1 : end]
    is_next = text[end:start].strip(" \t\r") == "\n"
    return is_next and len(line) >= _MIN_WRAPPED and line[-1] not in _ENDS and _is_word(text, start)


def _is_word(text: str, start: int) -> bool:
    """Whether a word without a capital begins here, and not the name of a field."""
    return text[start].islower() and _WORD.match(text, start) is not None


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
