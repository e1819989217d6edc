"""Filters as a person or a client writes them: which documents may be found."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from rag.errors import RagError

NOTHING_PASSES = "No document passes the filter, so nothing was searched."


class FilterError(RagError):
    """A filter that cannot be read."""


def moment(text: str, *, is_end: bool = False) -> float:
    """A day or a moment in ISO 8601 as seconds since the epoch, in this machine's time zone where it names none.

    Args:
        is_end: take the end of a day, not its beginning.

    Raises:
        FilterError: it is neither.
    """
    plain = text.strip()
    try:
        if len(plain) == len("2024-01-31"):
            day = date.fromisoformat(plain) + timedelta(days=1 if is_end else 0)
            return datetime.combine(day, datetime.min.time()).astimezone().timestamp()
        return datetime.fromisoformat(plain).astimezone().timestamp()
    except (ValueError, OverflowError) as error:
        raise FilterError(
            f"{plain!r} is no date: write a day such as 2024-01-31, or a moment such as 2024-01-31T12:00"
        ) from error
