"""What a question asks of a table: one cell, the largest or smallest of a column, how many rows, a sum, or all rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from rag.long.kind import asks_for_list
from rag.terms import stem, terms

# What a condition hangs on that is not understood here; and what makes a superlative of any word.
_CONDITION = re.compile(
    r"\b(?:not|no|without|except|excluding|besides|other than|than|under|over|above|below|before|after|until|since|if|"
    r"unless|per|each|every|average|mean of|median|difference|why|who|whose|vat|discount)\b|n['’]t\b",
    re.IGNORECASE,
)
_SUPERLATIVE = re.compile(r"\b(?:most|least|fewest|[a-z]{2,}est|maximum|minimum|max|min)\b", re.IGNORECASE)
_NO_SUPERLATIVE = frozenset(
    "interest request test rest latest harvest guest forest west suggest invest chest quest".split()
)
_EXTREMES: tuple[tuple[str, int, str], ...] = (
    (r"most expensive|dearest|costliest|priciest|most costly", 1, "price"),
    (r"cheapest|least expensive|least costly", -1, "price"),
    (r"heaviest", 1, "weight"),
    (r"lightest", -1, "weight"),
    (r"largest|biggest|greatest|highest|longest|most|maximum|max", 1, ""),
    (r"smallest|lowest|shortest|least|fewest|minimum|min", -1, ""),
)
_OF_TWO: tuple[tuple[str, int, str], ...] = (
    (r"cheaper|less expensive", -1, "price"),
    (r"more expensive|dearer", 1, "price"),
    (r"heavier", 1, "weight"),
    (r"lighter", -1, "weight"),
    (r"longer|larger|higher|greater|bigger", 1, ""),
    (r"shorter|smaller|lower", -1, ""),
)
_HOW_MANY = re.compile(
    r"^\W*how many (?P<noun>[\w' -]+?)\s+(?P<verb>are|were|do|does|did|is|have|has|can|fit|fits|belong)\b",
    re.IGNORECASE,
)
_DOING = re.compile(r"\b(?:to do|(?:should|must|can|do) (?:i|we|you|one) do)\b")
_WHICH = re.compile(r"^\W*(?:which|what)\b", re.IGNORECASE)
_SUM = re.compile(r"\b(?:total|sum|altogether|combined|in all|add up)\b", re.IGNORECASE)
_THERE = re.compile(r"\bare (?:there|listed|available|in the)\b", re.IGNORECASE)

# Words of questions, and words of columns, that mean the same.
_CONCEPTS = {
    "price": (
        "cost costs price prices priced expensive cheap much charge charged fee pay",
        "price cost costs fee charge gbp eur usd amount rate",
    ),
    "weight": ("weigh weighs weight heavy light mass", "weight mass kg g grams lb"),
    "time": ("wait long take takes delivery delivered deliver", "time days weeks months hours duration turnaround"),
    "meaning": ("mean means meaning stand stands", "meaning description explanation content"),
    "interval": ("often frequently frequency", "interval frequency period"),
    "remedy": ("do done fix remedy", "do remedy action measure solution"),
}
_MEANT = {
    name: (frozenset(map(stem, asked.split())), frozenset(map(stem, columns.split())))
    for name, (asked, columns) in _CONCEPTS.items()
}
GENERIC = frozenset(
    stem(word)
    for word in "part item product thing one row entry table list catalogue article kind available buy order get need "
    "according currently give show name tell enumerate please find have there say says total sum altogether "
    "combined add number many much exactly value unit call called appear occur display happen apply".split()
)


class Wanted(StrEnum):
    """What is to be found in a table."""

    CELL = "cell"
    LARGEST = "largest"
    SMALLEST = "smallest"
    COUNT = "count"
    SUM = "sum"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class TableQuestion:
    """A question as it is put to a table.

    Attributes:
        terms: what it says, without what says only what kind of thing is wanted.
        weak: words that point to a column where no others do, such as "much" of "how much", and need not stand there.
        concept: what the column is about where the question says so in other words, such as `price` for "cheapest".
        counted: of "How many parts fit …?", the terms of "parts".
        is_open: whether it asks what is there in all: "how many … are there".
        of_two: whether it asks for one of two rows: "the shorter".
    """

    wanted: Wanted
    terms: frozenset[str]
    weak: frozenset[str] = frozenset()
    concept: str = ""
    counted: frozenset[str] = frozenset()
    is_open: bool = False
    of_two: bool = False

    def column_terms(self, column: str) -> tuple[frozenset[str], frozenset[str]]:
        """The terms of the question, and its weak words, that a column of this name is meant by."""
        named = header_terms(column)
        meant, weakly = self.terms & named, self.weak & named
        for concept, (asked, columns) in _MEANT.items():
            if columns & named:
                meant |= self.terms & asked
                weakly |= self.weak & asked
                if concept == self.concept:
                    meant |= frozenset({concept})
        return meant, weakly


def table_question(question: str) -> TableQuestion | None:
    """What a question could ask of a table; None where it asks for more than is understood here."""
    if _CONDITION.search(question):
        return None
    concept, extreme, plain = _extreme(question, _EXTREMES)
    of_two = not extreme and _WHICH.match(question) is not None
    if of_two:
        concept, extreme, plain = _extreme(question, _OF_TWO)
    if any(word.casefold() not in _NO_SUPERLATIVE for word in _SUPERLATIVE.findall(plain)):
        return None
    said = frozenset(terms(plain))
    weak = _weak_words(plain) | (said & GENERIC)
    said -= GENERIC
    if extreme:
        return TableQuestion(Wanted.LARGEST if extreme > 0 else Wanted.SMALLEST, said, weak, concept, of_two=of_two)
    if found := _HOW_MANY.match(plain):
        is_open = _THERE.search(plain) is not None
        return TableQuestion(Wanted.COUNT, said, weak, counted=frozenset(terms(found["noun"])), is_open=is_open)
    is_list = asks_for_list(plain)
    return TableQuestion(
        Wanted.SUM if _SUM.search(plain) else Wanted.ROWS if is_list else Wanted.CELL, said, weak, is_open=is_list
    )


def header_terms(text: str) -> frozenset[str]:
    """The terms of a column's name, title or document's name, of whatever the words are joined with."""
    return frozenset(terms(re.sub(r"[_./()\-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text))))


def _extreme(question: str, words: tuple[tuple[str, int, str], ...]) -> tuple[str, int, str]:
    """What a superlative or comparative is about, and its direction; and the question without it."""
    for pattern, sign, concept in words:
        found = re.search(rf"\b(?:{pattern})\b", question, re.IGNORECASE)
        if found is not None:
            return concept, sign, f"{question[: found.start()]} {question[found.end() :]}"
    return "", 0, question


def _weak_words(question: str) -> frozenset[str]:
    """Words that say what is asked for, though they say little elsewhere: "what to do", "how much", "how long"."""
    plain = question.casefold()
    found = {stem(word) for word in ("much", "long") if f"how {word}" in plain}
    return frozenset(found | ({"do"} if _DOING.search(plain) else set()))
