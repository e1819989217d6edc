"""The memory tier: states that were used lately, up to so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.states.types import KeptStates, Owner, StatesKey


class MemoryTier:
    """States by their keys, least recently used first; not safe for use by two threads at once.

    States that went are freed once nobody reads them any more.

    Args:
        budget_bytes: of all states together; such as are larger by themselves are not kept.

    Attributes:
        num_bytes: of the states that it holds.
        evictions: how many had to go for others.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.num_bytes = 0
        self.evictions = 0
        self._budget_bytes = budget_bytes
        self._entries: OrderedDict[StatesKey, KeptStates] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: StatesKey) -> bool:
        return key in self._entries

    def get(self, key: StatesKey) -> KeptStates | None:
        """The states of this key, used now."""
        states = self._entries.get(key)
        if states is not None:
            self._entries.move_to_end(key)
        return states

    def put(self, key: StatesKey, states: KeptStates) -> None:
        """Keeps states, used now; others go until they fit."""
        self._remove(key)
        if states.data.nbytes > self._budget_bytes:
            return
        while self.num_bytes + states.data.nbytes > self._budget_bytes:
            self._remove(next(iter(self._entries)))
            self.evictions += 1
        self._entries[key] = states
        self.num_bytes += states.data.nbytes

    def delete(self, owner: Owner) -> None:
        """Lets go of everything of a document."""
        for key in [key for key in self._entries if key.owner == owner]:
            self._remove(key)

    def owners(self) -> set[Owner]:
        """Whose states it holds."""
        return {key.owner for key in self._entries}

    def _remove(self, key: StatesKey) -> None:
        if states := self._entries.pop(key, None):
            self.num_bytes -= states.data.nbytes
