"""What is opened at its first use and kept until everything is closed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


class Opener(Protocol):
    """Whose properties are opened once."""

    opened: dict[str, Any]
    locks: dict[str, threading.RLock]


OpenerT = TypeVar("OpenerT", bound=Opener)
T = TypeVar("T")


class OpenedOnce(Generic[OpenerT, T]):
    """A property that is made at its first use, by one thread, and kept until it is taken out of `opened`.

    Each has a lock of its own: while a model is fetched, the index can be used.
    """

    def __init__(self, make: Callable[[OpenerT], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    def __get__(self, opener: OpenerT, kind: type[OpenerT]) -> T:
        with opener.locks.setdefault(self._name, threading.RLock()):
            if self._name not in opener.opened:
                opener.opened[self._name] = self._make(opener)
            value: T = opener.opened[self._name]
            return value
