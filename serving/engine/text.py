"""From token ids to text that may be shown: whole characters, and nothing of a stop string."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.models.tokenizer import TokenStream


class AnswerText:
    """Decodes one answer as its tokens come, holding back what may turn out to be a stop string.

    The stop string that is complete first ends the answer, however the text was cut into tokens.
    """

    def __init__(self, tokens: TokenStream, stop: tuple[str, ...]) -> None:
        self._tokens = tokens
        self._stop = stop
        self._held = ""
        self.stopped = False

    def push(self, token_id: int) -> str:
        """The text that can be shown after this token; sets `stopped` when a stop string is complete."""
        return self._release(self._tokens.push(token_id))

    def flush(self) -> str:
        """The rest, when no more tokens come."""
        if self.stopped:
            return ""
        shown = self._release(self._tokens.flush())
        rest, self._held = self._held, ""
        return shown if self.stopped else shown + rest

    def _release(self, new: str) -> str:
        text = self._held + new
        found = [(text.find(stop) + len(stop), text.find(stop)) for stop in self._stop if stop in text]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
