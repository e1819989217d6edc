"""The native engine as a runtime: renders the chat template, encodes each segment alone, streams the answer."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from serving.runtime import SegmentKind

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from serving.engine.engine import Engine
    from serving.models.chat import ChatTemplate
    from serving.runtime import Completion, Prompt, SamplingParams, TextPiece


class NativeRuntime:
    """Runs a model of this machine in this process; see `serving.runtime.Runtime`."""

    def __init__(self, name: str, engine: Engine, template: ChatTemplate) -> None:
        self.name = name
        self.engine = engine
        self.context_length = engine.model.config.max_position
        self._template = template
        self._encode_frame = lru_cache(maxsize=16)(self._encode_frame_once)

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of a prompt: the template's tokens around passages and question, which are plain text."""
        before, after = self._encode_frame(prompt.instructions)
        encode = self.engine.tokenizer.encode
        variable = (segment for segment in prompt.segments if segment.kind is not SegmentKind.INSTRUCTIONS)
        return (*before, *(token_id for segment in variable for token_id in encode(segment.text)), *after)

    def count_tokens(self, prompt: Prompt) -> int:
        """See `Runtime`."""
        return len(self.encode(prompt))

    def count_text_tokens(self, text: str) -> int:
        """See `Runtime`."""
        return len(self.engine.tokenizer.encode(text))

    def stream(
        self,
        prompt: Prompt,
        params: SamplingParams,
        cancel: threading.Event | None = None,
        deadline_s: float | None = None,
    ) -> Iterator[TextPiece | Completion]:
        """See `Runtime`."""
        return self.engine.stream(self.encode(prompt), params, cancel, deadline_s)

    def warm_up(self, instructions: str) -> None:
        """Computes the instructions' states before the first question comes."""
        self.engine.warm_up(self._encode_frame(instructions)[0])

    def close(self) -> None:
        """See `Runtime`."""
        self.engine.close()

    def _encode_frame_once(self, instructions: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        encode = self.engine.tokenizer.encode_template
        before, after = self._template.around(instructions)
        return tuple(encode(before)), tuple(encode(after))
