"""Passages read before anybody asks: one after the other, whenever the engine has nothing else to do."""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING

from serving.engine.answer import Call, next_event
from serving.engine.reuse import Text

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from serving.states.types import StatesKey

_AT_ONCE = 2  # one is computed, and the next one waits, so that the engine never does


def read_ahead(
    texts: Sequence[Text],
    is_kept: Callable[[StatesKey], bool],
    submit: Callable[[Text, Call, SimpleQueue[Text | Exception]], None],
    lost: Callable[[], Exception | None],
    cancel: threading.Event | None,
) -> Iterator[int]:
    """Has the states computed that are not kept, and yields the places of texts in `texts` as they are.

    Args:
        submit: has a text read; it is told of the call, and where to put the text or an error.
        lost: says why nothing more can come, if that is so.
        cancel: set it to end after the text that is being read.
    """
    places: dict[StatesKey, list[int]] = {}
    for place, text in enumerate(texts):
        if not is_kept(text.key):
            places.setdefault(text.key, []).append(place)
    waiting = deque(places)
    call, told, num_open = Call(cancel, None), SimpleQueue[Text | Exception](), 0
    try:
        while waiting or num_open:
            while waiting and num_open < _AT_ONCE:
                key = waiting.popleft()
                if is_kept(key):  # a question was quicker
                    yield from places[key]
                    continue
                submit(texts[places[key][0]], call, told)
                num_open += 1
            if num_open:
                text = _next(told, lost)
                num_open -= 1
                if text.states is None:
                    call.raise_error()
                    return
                yield from places[text.key]
    finally:
        call.closed = True


def _next(told: SimpleQueue[Text | Exception], lost: Callable[[], Exception | None]) -> Text:
    """The next text; it has no states if its reading was cancelled."""
    outcome = next_event(told, lost)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
