"""Texts that say again what a better one says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def without_near_duplicates(texts: Sequence[str], limit: int) -> list[int]:
    """Places of the first `limit` texts that do not merely repeat an earlier one.

    A text repeats an earlier one that has all its words in a row, whatever the case, spacing and punctuation. A share
    of them would not do: a form filled in with another amount, or a `not`, changes a word or two.
    """
    kept: list[int] = []
    said: list[str] = []
    for place, text in enumerate(texts):
        if len(kept) == limit:
            break
        words = f" {' '.join(_WORD.findall(text.casefold()))} "
        if not any(words in earlier for earlier in said):
            kept.append(place)
            said.append(words)
    return kept
