"""Texts that say again what a better one says."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_SHINGLE = 3  # words


def without_near_duplicates(texts: Sequence[str], limit: int) -> list[int]:
    """Places of the first `limit` texts that do not merely repeat an earlier one.

    A text repeats an earlier one that has all its runs of three words (shingles, Broder 1997), whatever the case,
    spacing and punctuation. A share of them would not do: a form filled in with another amount, or a `not`, changes
    only three.
    """
    kept: list[int] = []
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        if len(kept) == limit:
            break
        runs = _shingles(text)
        shared = Counter(holder for run in runs for holder in holders.get(run, ()))
        if len(runs) in shared.values():
            continue
        kept.append(place)
        for run in runs:
            holders[run].append(place)
    return kept


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return {tuple(words[at : at + _SHINGLE]) for at in range(max(len(words) - _SHINGLE + 1, 1))}
