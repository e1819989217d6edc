"""How much of a prompt is read in a step beside answers, so that these do not wait long for their next token."""

from __future__ import annotations

MAX_GAP = 2.8  # times the step of a lone answer that a step beside answers should take
MIN_TOKENS = 8  # read in any case, or a prompt would never come in beside many answers
FIRST_TOKENS = 32  # until a lone answer's step was timed
_NEWEST = 0.25  # weight of the newest step


class Pace:
    """Learns from the time that steps take how many prompt tokens fit into one.

    A row is a token computed in a step, of an answer, a draft or a prompt. What each row adds to the step of a lone
    answer depends on machine, model and company, so it is measured as the engine runs.

    Args:
        fixed: prompt tokens of a step beside answers, whatever time it takes; None learns.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self._fixed = fixed
        self._lone_s: float | None = None
        self._row_s: float | None = None

    def note(self, num_answer_rows: int, num_prompt_rows: int, seconds: float) -> None:
        """Takes note of a step; one without answers tells nothing."""
        num_more = num_answer_rows + num_prompt_rows - 1
        if num_answer_rows == 0:
            return
        if num_more == 0:
            self._lone_s = _mean(self._lone_s, seconds)
        elif self._lone_s is not None:
            self._row_s = _mean(self._row_s, max(0.0, seconds - self._lone_s) / num_more)

    def num_prompt_tokens(self, num_answer_rows: int, at_most: int) -> int:
        """How many to read beside so many rows of answers."""
        if self._fixed is not None:
            return min(self._fixed, at_most)
        if self._lone_s is None or self._row_s is None:
            return min(FIRST_TOKENS, at_most)
        spare_s = (MAX_GAP - 1) * self._lone_s - (num_answer_rows - 1) * self._row_s
        fitting = at_most if self._row_s * at_most <= spare_s else int(spare_s / self._row_s)
        return min(max(fitting, MIN_TOKENS), at_most)


def _mean(before: float | None, newest: float) -> float:
    return newest if before is None else before + _NEWEST * (newest - before)
