"""What a stretch of an answer says: a statement, or the bare answer to the question."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from rag.cite.facts import facts
from rag.cite.sentences import plain
from rag.terms import placed, terms

_SOURCE = re.compile(r"^\s*(?:according to|based on)\b[^,:]*[,:]\s*", re.IGNORECASE)
_LEAD = re.compile(r"^\s*(?:(?:the |my )?(?:final )?answer(?: is)?\b:?\s*)?(?:that\s)?", re.IGNORECASE)
_YES_OR_NO = re.compile(r"(?:yes|no)\b", re.IGNORECASE)
_JOINED = re.compile(r"^\s*(?:[,;]\s*)?(?:(?:and|or|as well as|but)\b\s*)?", re.IGNORECASE)
_MOST_BARE_WORDS, _FEW_WORDS = 14, 5


@dataclass(frozen=True)
class Claim:
    """What is said to a question; together they say something.

    Attributes:
        question: as it was asked.
        said: without numbers of passages, and without words about the answer itself.
    """

    question: str
    said: str

    @classmethod
    def of(cls, question: str, text: str) -> Self:
        """The claim of a part of an answer."""
        for lead in (_JOINED, _SOURCE, _LEAD):
            text = lead.sub("", plain(text))
        return cls(question, text)

    @property
    def text(self) -> str:
        """Question and answer, for whoever reads both."""
        return f"{self.question} {self.said}".strip()

    @cached_property
    def is_bare(self) -> bool:
        """Whether it says something only together with the question, as `France` does and `It is in France.` hardly."""
        words, ended = len(self.said.split()), self.said.rstrip().endswith((".", "!", "?"))
        if not self.question or _YES_OR_NO.match(self.said):
            return False
        return words < _FEW_WORDS if ended else words <= _MOST_BARE_WORDS

    @cached_property
    def terms(self) -> frozenset[str]:
        """The terms of what is said."""
        return frozenset(terms(self.said))

    @cached_property
    def news(self) -> frozenset[str]:
        """Those that the question does not hold."""
        return self.terms - frozenset(terms(self.question))

    def places_in(self, text: str) -> list[tuple[int, int]]:
        """Where a text says it word for word, but for case and punctuation between words."""
        words = re.findall(r"\w+", self.said)
        if not words:
            return []
        pattern = r"\b" + r"\W{1,3}".join(map(re.escape, words)) + r"\b"
        return [match.span() for match in re.finditer(pattern, text, re.IGNORECASE)]

    def stretch_in(self, text: str, start: int, end: int) -> tuple[int, int]:
        """From the first to the last of its terms and numbers in a part of a text; all of it if there are none."""
        part, values = text[start:end], facts(self.said)
        there = [
            (first, last)
            for term, first, last in placed(part)
            if term in self.terms or (values and facts(part[first:last]) & values)
        ]
        return (start + there[0][0], start + there[-1][1]) if there else (start, end)
