"""What a comparison compares, and in what: "Which is cheaper, A or B?", "What is the difference between A and B?"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.terms import terms

_MAX_SIDE_WORDS = 12
_OPEN = "What is {}?"
_WAYS: tuple[tuple[str, int, str], ...] = (
    (r"cheaper|less expensive|less costly|less dear", -1, "What does {} cost?"),
    (r"more expensive|dearer|costlier|pricier|more costly", 1, "What does {} cost?"),
    (r"heavier", 1, "What does {} weigh?"),
    (r"lighter", -1, "What does {} weigh?"),
    (r"longer", 1, "How long is {}?"),
    (r"shorter", -1, "How long is {}?"),
    (r"taller|higher", 1, "How high is {}?"),
    (r"lower", -1, "How high is {}?"),
    (r"wider|broader", 1, "How wide is {}?"),
    (r"narrower", -1, "How wide is {}?"),
    (r"deeper", 1, "How deep is {}?"),
    (r"faster|quicker", 1, "How fast is {}?"),
    (r"slower", -1, "How fast is {}?"),
    (r"larger|bigger|greater", 1, "How large is {}?"),
    (r"smaller", -1, "How large is {}?"),
    (r"older", 1, "How old is {}?"),
    (r"younger", -1, "How old is {}?"),
)
_VERBS: tuple[tuple[str, str, str], ...] = (
    (r"costs?", "cost", "What does {} cost?"),
    (r"weighs?", "weigh", "What does {} weigh?"),
    (r"lasts?", "last", "How long does {} last?"),
    (r"takes?", "take", "How long does {} take?"),
)
_WAY = f"(?P<way>{'|'.join(way for way, _, _ in _WAYS)})"
_VERB = f"(?P<verb>{'|'.join(verb for verb, _, _ in _VERBS)})"
_MORE = r"(?P<more>more|longer|less|fewer|shorter)"
_BE = r"(?:is|are|was|were)"
_A, _B, _LAST = r"(?P<a>.+?)", r"(?P<b>.+?)", r"(?P<b>.+)"
_OF = r"(?:the (?P<of>[\w -]+?) of )?"
_ASPECT = r"(?: in (?P<aspect>.+?))?"
_LATE = r"(?: (?:in terms of|with regard to|regarding|when it comes to|as regards) (?P<aspect>.+?))?"
_WHICH = (
    r"(?:which|what|who)(?: one)?(?: of (?:the two|them|these))?"
    r"(?: (?P<what>(?!is\b|are\b|was\b|has\b)[\w-]+(?: [\w-]+){0,2}?))?"
)
_TWO = rf" ?[,:;–-] ?{_A},? (?:or|and) {_LAST}"
_DIFFERENCE = r"(?:main |key |biggest |exact |actual )?(?:(?P<noun>\w+) )?differences?(?: in (?P<of_all>[\w -]+?))?"
_RULES = tuple(
    re.compile(rf"^\W*(?:please )?{rule}\W*$", re.IGNORECASE)
    for rule in (
        rf"{_WHICH} {_BE} (?:the )?{_WAY}(?: one)?{_TWO}",
        rf"which of {_A},? (?:or|and) {_B} {_BE} (?:the )?{_WAY}(?: one)?",
        rf"{_WHICH} {_VERB} {_MORE}(?: \w+)?{_TWO}",
        rf"{_WHICH} (?:has|have|had) (?:the |an? )?{_WAY} (?P<noun>[\w -]+?){_TWO}",
        rf"{_BE} {_A} {_WAY} than {_LAST}",
        rf"(?:does|do|did) {_A} {_VERB} {_MORE} than {_LAST}",
        rf"what(?: is| are|['’]s| was) the {_DIFFERENCE} between {_OF}{_A} and {_B}{_LATE}",
        rf"(?:in what ways?|how) (?:do|does|did) {_A} and {_B} (?:differ|compare){_ASPECT}",
        rf"how (?:does|do|did|is|are) {_A} (?:differ(?:ent)? from|compared? (?:to|with)) {_B}{_ASPECT}",
        rf"compare {_OF}{_A} (?:and|with|to|against|vs\.?|versus) {_LAST}",
        r"(?P<a>[^?,;:.]+?) (?:vs\.?|versus) (?P<b>[^?,;:.]+)",
    )
)
_MAX_ASPECT_WORDS = 3
_EDGE = re.compile(r"^[^\w£$€]+|[^\w)%°]+$")
_NAME = re.compile(r"^(?:the|a|an|its|their)\s+", re.IGNORECASE)
_LABEL = re.compile(r"^(?:\d[\w.,-]*|[A-Z]|first|second|third|old|new|former|latter)$", re.IGNORECASE)
_VAGUE = re.compile(
    r"^(?:what|which|who|how|why|when|where|those|that|these|this|it|they|other|others|most|both|each|reality|"
    r"anything|any|all|some)\b|\b(?:or|and)$",
    re.IGNORECASE,
)
_BARE_QUANTITY = re.compile(r"^[£$€]?\d[\d.,]*\s*\S{0,4}$")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two things, and the question that is asked of each.

    Attributes:
        asked: with `{}` where a side's name goes.
        sign: 1 where the side with the larger value is asked for, -1 where the smaller one is, 0 where neither.
        word: what that side does, such as `is cheaper`; empty where nothing is said.
        definite: whether each side is named with an article.
    """

    sides: tuple[str, str]
    asked: str
    sign: int = 0
    word: str = ""
    definite: tuple[bool, bool] = (False, False)

    @property
    def is_open(self) -> bool:
        """Whether it is not said in what the sides are compared."""
        return self.asked == _OPEN

    def question(self, side: str) -> str:
        """What is asked of one side."""
        article = "the " if self.definite[self.sides.index(side)] else ""
        return self.asked.format(f"{article}{side}")


def comparison_of(question: str) -> Comparison | None:
    """What a question compares; None where it does not, or not in a way that is understood."""
    for rule in _RULES:
        if found := rule.match(" ".join(question.split())):
            return _checked(found.groupdict())
    return None


def _checked(parts: dict[str, str | None]) -> Comparison | None:
    first, second = _completed(_plain(parts["a"] or ""), _plain(parts["b"] or ""))
    what = parts.get("what")
    sides = (_with_noun(first, what), _with_noun(second, what))
    if any(not _is_name(side) for side in sides) or set(terms(sides[0])) == set(terms(sides[1])):
        return None
    asked, sign, word = _asked(parts)
    definite = (_NAME.match(parts["a"] or "") is not None, _NAME.match(parts["b"] or "") is not None)
    return Comparison(sides, asked, sign, word, definite)


def _asked(parts: dict[str, str | None]) -> tuple[str, int, str]:
    noun = parts.get("noun") or parts.get("aspect") or parts.get("of_all") or parts.get("of")
    if noun is not None and len(noun.split()) > _MAX_ASPECT_WORDS:
        noun = None
    if (verb := parts.get("verb")) and (more := parts.get("more")):
        sign = -1 if more.casefold() in {"less", "fewer", "shorter"} else 1
        for pattern, plain, asked in _VERBS:
            if re.fullmatch(pattern, verb, re.IGNORECASE):
                return asked, sign, f"{plain}s {more.casefold()}"
    if way := (parts.get("way") or "").casefold():
        sign, asked = next((sign, asked) for pattern, sign, asked in _WAYS if re.fullmatch(pattern, way))
        return (f"What is the {noun} of {{}}?", sign, f"has the {way} {noun}") if noun else (asked, sign, f"is {way}")
    return (f"What is the {noun} of {{}}?" if noun else _OPEN), 0, ""


def _plain(side: str) -> str:
    return " ".join(_NAME.sub("", _EDGE.sub("", side)).split())


def _is_name(side: str) -> bool:
    is_short = len(side.split()) <= _MAX_SIDE_WORDS
    return is_short and bool(terms(side)) and not _VAGUE.search(side) and not _BARE_QUANTITY.match(side)


def _with_noun(side: str, noun: str | None) -> str:
    """Of "Which panel is cheaper, the 30 W or the 60 W one?" each side as a panel."""
    named = side.removesuffix(" one")
    return named if noun is None or set(terms(noun)) <= set(terms(named)) else f"{named} {noun}"


def _completed(first: str, second: str) -> tuple[str, str]:
    """Both sides by their whole names: of "2024 and 2025 terms", the first are the 2024 terms."""
    mine, other = first.split(), second.split()
    if len(mine) < len(other) and _are_alike(mine, other[: len(mine)]):
        return " ".join([*mine, *other[len(mine) :]]), second
    if len(other) < len(mine) and _are_alike(other, mine[-len(other) :]):
        return first, " ".join([*mine[: -len(other)], *other])
    return first, second


def _are_alike(some: list[str], others: list[str]) -> bool:
    """Whether words are the same but for labels such as numbers, of which there is one at least."""
    pairs = list(zip(some, others, strict=True))
    labels = [_LABEL.match(one) is not None and _LABEL.match(other) is not None for one, other in pairs]
    same = (one.casefold() == other.casefold() for one, other in pairs)
    return any(labels) and all(is_label or is_same for is_label, is_same in zip(labels, same, strict=True))
