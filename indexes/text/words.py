"""How text becomes words, the same way when it is stored and when it is asked for.

FTS5 splits at everything but letters and digits, and stems. What that would lose is prepared here: scripts that write
no spaces are searched by character, and names, codes and numbers get a second spelling beside the text (the index's
column `codes`), in which `get_user_name`, `get-user-name` and `getUserName` are one word, and `10,000` is `10000`.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
import threading
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

TOKENIZER = "porter unicode61 remove_diacritics 2"
PAIR_WEIGHT = 0.3  # of neighbouring words, beside 1 for each of them
CODE_WEIGHT = 1.0
NEAR_WEIGHT = 0.1  # of neighbours that stand near each other, in any order
NEAR_BETWEEN = 8
_POINT = "\ue000"  # for private use: FTS5 takes it for a letter, so that `3.5.1` is one word and not `351`
# Han, kana, Hangul, Thai, Lao, Burmese, Khmer
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"([{_UNSPACED}])")
_RUN = re.compile(f"[{_UNSPACED}]+")
_WORD = re.compile(r"[^\W_]+")
_PUNCTUATION = ".,;:!?()[]{}<>'’\"“”"
# `snake_case`, `E-1234`, `v3.5.1`; `C++`; `camelCase`; `E1234`, `10mg`
_CODE = re.compile(
    r"(?<![^\W_])(?:[^\W_]+(?:[-_.:/][^\W_]+)+|[^\W\d_]+(?:\+\+|#)(?!\w)|[^\W_]*?[^\W\d_A-Z][A-Z][^\W_]*"
    r"|(?:[^\W\d_]+\d|\d+[^\W\d_])[^\W_]*)"
)
_TELLTALE = re.compile(r"[\d_+#]|[^\W\d_A-Z][A-Z]")  # of what no ordinary hyphen makes
_NUMBER = re.compile(r"(?<![\w.,])\d{1,3}(?:[,'’]\d{3})+(?![\d,])")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|\d+")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[-_.:/](?=\d)")
_SEPARATOR = re.compile(r"[-_.:/]")
_VERSION = re.compile(rf"v(?=\d+{_POINT})")
_QUOTED = re.compile(r'"([^"]+)"|“([^“”]+)”|«([^«»]+)»|„([^„“”]+)[“”]')
_STEMMING = threading.Lock()
_STOP_WORDS = """
a about above after again against all am an and any are as at be because been before being below between both but by
can could did do does doing down during each few for from further had has have having he her here hers him his how i
if in into is it its itself just me more most my no nor not of off on once only or other our out over own same she
should so some such than that the their them then there these they this those through to too under until up very was
we were what when where which while who whom why will with would you your s t d ll m re ve don
"""


@dataclass(frozen=True, slots=True)
class Term:
    """Words to look for, in lower case and not stemmed.

    Attributes:
        weight: how much finding them counts.
        between: how many other words may stand between them, in any order; None where they follow each other.
    """

    words: tuple[str, ...]
    weight: float = 1.0
    between: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What a person typed.

    Attributes:
        terms: what to look for; stop words only where there is nothing else.
        quoted: what stands in quotation marks.
    """

    terms: tuple[Term, ...]
    quoted: tuple[Term, ...] = ()


def spaced(text: str) -> str:
    """Text as FTS5 reads it: compatible forms made one, and a space around each character of an unspaced script."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKC", text).replace("\u00ad", "").casefold()
    return _CHARACTER.sub(r" \1 ", plain)


def codes(text: str) -> str:
    """The second spellings of what is written as one word, separated by spaces."""
    found = []
    for part in text.split():
        plain = part.strip(_PUNCTUATION)
        if not (plain.isalpha() and (plain.islower() or plain[1:].islower())):  # most words of most texts are
            found += [spelling for match in _CODE.finditer(part) for spelling in _spellings(match[0])]
            found += [_digits(match[0]) for match in _NUMBER.finditer(part)]
    return " ".join(found)


def words(text: str) -> list[str]:
    """The words of a text in lower case, without anything that FTS5 could take for syntax."""
    return [word.lower() for word in _WORD.findall(spaced(text))]


def parse(query: str) -> Query:
    """What to look for, for any text a person may type."""
    everything = words(query)
    telling = [word for word in everything if word not in _stop_words()] or everything
    pairs = [pair for pair in itertools.pairwise(everything) if not _stop_words() & set(pair)]
    unspaced = [pair for pair in pairs if _RUN.fullmatch("".join(pair))]
    in_pairs = {character for pair in unspaced for character in pair}
    terms = [Term((word,)) for word in telling if word not in in_pairs]
    terms += [Term(pair) for pair in unspaced]
    terms += [Term((spelling,), weight) for spelling, weight in _codes_asked(query)]
    terms += [Term(pair, PAIR_WEIGHT) for pair in pairs]
    quoted = [tuple(words(next(filter(None, match.groups())))) for match in _QUOTED.finditer(query)]
    heaviest = {term.words: term for term in reversed(terms)}
    near = [Term(pair, NEAR_WEIGHT, NEAR_BETWEEN) for pair in itertools.pairwise(telling) if in_pairs.isdisjoint(pair)]
    return Query(
        (*reversed(heaviest.values()), *dict.fromkeys(near)),
        tuple(dict.fromkeys(Term(phrase) for phrase in quoted if phrase)),
    )


def _codes_asked(query: str) -> list[tuple[str, float]]:
    found = [
        (_joined(match[0]), CODE_WEIGHT if _TELLTALE.search(match[0]) else PAIR_WEIGHT)
        for match in _CODE.finditer(query)
    ]
    return found + [(_digits(match[0]), CODE_WEIGHT) for match in _NUMBER.finditer(query)]


def _spellings(code: str) -> list[str]:
    joined = _joined(code)
    spellings = [joined] if joined != code.lower() else []  # else it stands in the text as it is
    if _VERSION.match(joined):
        spellings.append(joined[1:])
    for word in _WORD.findall(code):
        humps = _HUMP.findall(word)
        spellings += humps if len(humps) > 1 else []
    return spellings


def _digits(number: str) -> str:
    return "".join(character for character in number if character.isdigit())


def _joined(code: str) -> str:
    plain = code.lower()
    if plain.endswith("++"):
        return plain.removesuffix("++") + "plusplus"
    if plain.endswith("#"):
        return plain.removesuffix("#") + "sharp"
    return _SEPARATOR.sub("", _BETWEEN_DIGITS.sub(_POINT, plain))


@cache
def _stop_words() -> frozenset[str]:
    return frozenset(_STOP_WORDS.split())


@lru_cache(maxsize=65536)
def stem(word: str) -> str | None:
    """A word as FTS5 keeps it; None when it is not a single word to FTS5."""
    with _STEMMING:
        connection = _stemmer()
        connection.execute("DELETE FROM texts")
        connection.execute("INSERT INTO texts VALUES (?)", (word,))
        found = connection.execute("SELECT term FROM terms").fetchall()
    return str(found[0][0]) if len(found) == 1 else None


@cache
def _stemmer() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute(f"CREATE VIRTUAL TABLE texts USING fts5(text, tokenize = '{TOKENIZER}')")
    connection.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(texts, 'instance')")
    return connection
