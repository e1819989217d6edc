"""How much of a prompt is read in a step beside answers, so that these do not wait long for their next token."""

from __future__ import annotations

MAX_GAP = 2.8  # times the step of a lone answer that a step beside answers may take in any case
UNNOTICED_S = 0.12  # what it may take too: nobody reads so fast, and few long steps are fewer gaps than many short ones
MIN_TOKENS = 8  # read in any case, or a prompt would never come in beside many answers
FIRST_TOKENS = 128  # until steps were timed
_NEWEST = 0.25  # weight of the newest step


class Pace:
    """Learns from the time that steps take how many prompt tokens fit into one.

    A step takes as long as that of a lone answer, and longer for each answer more and for each token of a prompt. How
    much depends on machine, model and company, so it is measured as the engine runs.

    Args:
        fixed: prompt tokens of a step beside answers, whatever time it takes; None learns.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self._fixed = fixed
        self._lone_s: float | None = None
        self._answer_s: float | None = None
        self._token_s: float | None = None

    def note(self, num_answer_rows: int, num_prompt_rows: int, seconds: float) -> None:
        """Takes note of a step that computed so many tokens of answers and of prompts; without answers it is no use."""
        if num_answer_rows == 1 and num_prompt_rows == 0:
            self._lone_s = _mean(self._lone_s, seconds)
        if num_answer_rows == 0 or self._lone_s is None:
            return
        more_s = max(0.0, seconds - self._lone_s)
        if num_prompt_rows:
            others_s = (num_answer_rows - 1) * (self._answer_s or 0.0)
            self._token_s = _mean(self._token_s, max(0.0, more_s - others_s) / num_prompt_rows)
        elif num_answer_rows > 1:
            self._answer_s = _mean(self._answer_s, more_s / (num_answer_rows - 1))

    def num_prompt_tokens(self, num_answer_rows: int, at_most: int) -> int:
        """How many to read beside so many rows of answers."""
        if self._fixed is not None:
            return min(self._fixed, at_most)
        if self._lone_s is None or self._token_s is None:
            return min(FIRST_TOKENS, at_most)
        may_take_s = max(MAX_GAP * self._lone_s, UNNOTICED_S)
        spare_s = may_take_s - self._lone_s - (num_answer_rows - 1) * (self._answer_s or 0.0)
        takes_all = self._token_s * at_most <= spare_s or not self._token_s
        fitting = at_most if takes_all else int(spare_s / self._token_s)
        return min(max(fitting, MIN_TOKENS), at_most)


def _mean(before: float | None, newest: float) -> float:
    return newest if before is None else before + _NEWEST * (newest - before)
