"""Where a quotation may begin and end in a text: never inside a word or a number, nor behind the sign of one."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

# Each character becomes a letter that says what it is, and regular expressions over these letters say what belongs
# together, in the spirit of UAX #29 (https://unicode.org/reports/tr29): w letter, S the letter s, d digit, i letter of
# a script that is written without spaces, m what extends the character before it, z a joiner, e symbol, r half a flag,
# h hyphen, n dash, s sign, c currency, b space that may stand within a number, q what may open as well as close;
# % . , : / & ' ( ) and space for themselves and their like; p for the rest.
_ALIKE = {
    **dict.fromkeys("sS", "S"),
    **dict.fromkeys("-‐‑−", "h"),  # noqa: RUF001
    **dict.fromkeys("–", "n"),
    **dict.fromkeys("+±~≈<>≤≥#№§^", "s"),
    **dict.fromkeys("%‰°′″", "%"),  # noqa: RUF001
    **dict.fromkeys("&@×·⋅", "&"),
    **dict.fromkeys("'’׳״", "'"),  # noqa: RUF001
    **dict.fromkeys("/⁄", "/"),  # noqa: RUF001
    **dict.fromkeys("\u00a0\u2009\u202f", "b"),
    **dict.fromkeys("!?…。！？؟।", ")"),  # noqa: RUF001
    **dict.fromkeys(",٫٬", ","),  # noqa: RUF001
    **dict.fromkeys(".:", ""),
    **dict.fromkeys("[]", "p"),
    **dict.fromkeys("_", "w"),
    '"': "q",
    "\u200d": "z",
}
_BY_CATEGORY = {"Sc": "c", "So": "e", "Ps": "(", "Pi": "(", "Pe": ")", "Pf": ")", "Cf": "m"}
_UNSPACED = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x309F)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
)
_SKIN_TONES = ((0x1F3FB, 0x1F3FF),)
_FLAG_LETTERS = ((0x1F1E6, 0x1F1FF),)

_UNIT = re.compile(
    r"""
    (?P<unit>
        (?: (?<![wSdmz%).]) (?: [shnc]{1,3} \.? | \. | [shn]? c [ b] ) (?=d) | [sc]+ (?=[wSd]) )?  # -$5, € 5; #tag
        [wSd] [wSdscmz]*
        (?: (?: [h./&] | (?<=d) [,:] (?=d) | (?<=d) b (?=ddd(?!d)) | ' (?! S (?![wSdmz]) ) )  # non-toxic, 3.14, don't
            [wSd] [wSdscmz]* )*
        %*
      | i [mz]*
      | rr? m*
      | e m* (?: z+ [ew]? m* )*
      | c+
    )
    | (?P<tail> (?<=[wSdscmz]) ' S (?![wSdmz]) | (?<=[wSdscmzier%)]) ,? [).q']+ )  # Anna's, and what closes a sentence
    | (?P<lead> (?<![^ b(q']) [(q']+ (?=[shnc.]{0,4}[wSdier]) )
    """,
    re.VERBOSE,
)


class Words(NamedTuple):
    """Places of a text, in characters, at which a quotation may begin, and those at which it may end; ascending."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]


def words_of(text: str) -> Words:
    """Where the words of a text begin and end, with the punctuation that opens or closes around them.

    What belongs together stays so: `-14`, `$5`, `3.14`, `10,000`, `non-toxic`, `U.S.`, a letter and its accents, a
    family of emoji. Of `Anna's` and `(Alps)` both the whole and `Anna`, `Alps` are words. Scripts that are written
    without spaces may be cut at every character.
    """
    letters = text.translate(_LETTERS)
    starts, ends = [], []
    for found in _UNIT.finditer(letters):
        if found["unit"]:
            starts.append(found.start())
            ends.append(found.end())
        elif found["lead"]:
            starts += range(found.start(), found.end())
        elif found[0][-1] == "S":
            ends.append(found.end())
        else:
            ends += [end for end in range(found.start() + 1, found.end() + 1) if letters[end - 1] != ","]
    return Words(tuple(starts), tuple(ends))


class _Letters(dict[int, str]):
    """What each character is, found out when it first comes."""

    def __missing__(self, code: int) -> str:
        self[code] = letter = _letter_of(chr(code))
        return letter


def _letter_of(character: str) -> str:
    category = unicodedata.category(character)
    if character in _ALIKE:
        return _ALIKE[character] or character
    if category[0] == "M" or _is_in(character, _SKIN_TONES):
        return "m"
    if category[0] == "Z" or category == "Cc":
        return " "
    if unicodedata.numeric(character, None) is not None:
        return "d"
    if category[0] == "L":
        return "i" if _is_in(character, _UNSPACED) else "w"
    return "r" if _is_in(character, _FLAG_LETTERS) else _BY_CATEGORY.get(category, "p")


def _is_in(character: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)


_LETTERS = _Letters()
