"""What kind of question it is, by its words alone: most are answered from a few passages at once, some are not.

The rules know English, and know it narrowly: a question of another language, or put in another way, is answered as any
other.
"""

from __future__ import annotations

import re

_PLURAL = r"[\w'’-]*[a-rt-z]s"  # of most nouns; not "process"
_THERE = r"(?:there|available|offered|listed|mentioned|described|supported|stocked|documented)"
_LIST = re.compile(
    r"^\W*(?:please\s+|(?:can|could) you\s+)?"
    r"(?:(?:list|enumerate)\b(?!\s+prices?\b|\s+of\b)"
    r"|(?:give|show|tell)(?: me| us)? (?:a list of|all)\b"
    rf"|name (?:all|every|each|the (?:[\w-]+ ){{0,2}}{_PLURAL})\b)"
    rf"|^\W*(?:which|what) (?:(?!is\b|was\b|the\b|of\b|do\b|does\b|did\b|has\b|are\b|were\b)[\w'’-]+ ){{0,3}}?{_PLURAL}"
    rf"(?: (?:of|for|in|on|at|to|with|from|by|about) [^?,;]{{1,60}}?)? (?:are|were) {_THERE}\b"
    rf"|^\W*(?:which|what) {_PLURAL} (?:do|does) (?:we|you|they|it) (?:have|sell|offer|make|stock|support)\W*$"
    r"|^\W*what (?:are|were) (?:all|all of) the\b"
    rf"|^\W*what (?:are|were) the (?:various|possible|available|different) {_PLURAL}\b",
    re.IGNORECASE,
)

_ORDER = re.compile(
    r"^\W*(?:please\s+|(?:can|could) you\s+)?"
    r"(?:list|enumerate|name|(?:give|show|tell)(?: me| us)?)\s+"
    r"(?:a list of\s+)?(?:all\s+)?(?:of\s+)?(?:the\s+)?(?P<what>[^?]+?)\W*$",
    re.IGNORECASE,
)


def asks_for_list(question: str) -> bool:
    """Whether all that there is of something is asked for: "Which fault codes are there?", "List the spare parts"."""
    return _LIST.search(question) is not None


def as_question(question: str) -> str:
    """The same as a question where it is an order, which small models have seen less of."""
    found = _ORDER.match(" ".join(question.split()))
    return question if found is None else f"What are the {found['what']}?"
