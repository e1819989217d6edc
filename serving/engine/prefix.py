"""States of prompt beginnings that come again, above all the instructions: computed once, copied into each sequence."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.engine.kvcache import KVStates


class PrefixCache:
    """Keeps states by the exact tokens they stand for; the least recently used go first when the budget is full.

    Args:
        budget_bytes: 0 keeps nothing, which is the plain twin that every prompt can be checked against.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._states: OrderedDict[tuple[int, ...], KVStates] = OrderedDict()

    @property
    def num_bytes(self) -> int:
        """Memory that the kept states occupy."""
        return sum(states.num_bytes for states in self._states.values())

    def get(self, token_ids: Sequence[int]) -> KVStates | None:
        """The states of exactly these tokens at positions from 0, if kept."""
        key = tuple(token_ids)
        if key in self._states:
            self._states.move_to_end(key)
        return self._states.get(key)

    def put(self, token_ids: Sequence[int], states: KVStates) -> None:
        """Keeps states, unless they alone exceed the budget."""
        if states.num_bytes > self.budget_bytes:
            return
        key = tuple(token_ids)
        self._states[key] = states
        self._states.move_to_end(key)
        while self.num_bytes > self.budget_bytes:
            self._states.popitem(last=False)

    def clear(self) -> None:
        """Forgets everything kept."""
        self._states.clear()
