"""What waits to be written to disk, up to so many bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.states.types import KeptStates, Owner, StatesKey


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """States that were put and are not on disk yet."""

    key: StatesKey
    states: KeptStates


class Backlog:
    """States in the order in which they came; not safe for use by two threads at once.

    Whoever writes some leaves them here until they are on disk: they can be found meanwhile, and if they are gone by
    the end, they are not wanted any more.

    Args:
        budget_bytes: beyond this nothing more is taken.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._num_bytes = 0
        self._entries: dict[StatesKey, Waiting] = {}

    def get(self, key: StatesKey) -> KeptStates | None:
        """The states of this key, if they wait."""
        waiting = self._entries.get(key)
        return waiting.states if waiting else None

    def put(self, key: StatesKey, states: KeptStates) -> bool:
        """Takes states in, unless it has them; False says that there is no room for them."""
        if key in self._entries:
            return True
        if self._num_bytes + states.data.nbytes > self._budget_bytes:
            return False
        self._entries[key] = Waiting(key, states)
        self._num_bytes += states.data.nbytes
        return True

    def first(self) -> Waiting | None:
        """What has waited longest; it stays until it is removed."""
        return next(iter(self._entries.values()), None)

    def holds(self, waiting: Waiting) -> bool:
        """Whether it still waits: the very same, not what was put for its key again."""
        return self._entries.get(waiting.key) is waiting

    def remove(self, waiting: Waiting) -> None:
        """Lets go of what was written."""
        if self.holds(waiting):
            del self._entries[waiting.key]
            self._num_bytes -= waiting.states.data.nbytes

    def delete(self, owner: Owner) -> None:
        """Lets go of everything of a document."""
        for waiting in [waiting for key, waiting in self._entries.items() if key.owner == owner]:
            self.remove(waiting)

    def owners(self) -> set[Owner]:
        """Whose states wait."""
        return {key.owner for key in self._entries}
