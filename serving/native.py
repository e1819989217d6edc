"""The native engine as a runtime: renders the chat template, encodes each segment alone, streams the answer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from serving.engine.reuse import PassagePrompt, PassageTokens
from serving.errors import InvalidRequestError
from serving.states.types import Tier

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from serving.engine.engine import Engine
    from serving.engine.reuse import PassageReuse
    from serving.models.chat import ChatTemplate
    from serving.runtime import Completion, Prompt, PromptPassage, Reuse, TextPiece
    from serving.sampling import SamplingParams

_TEXTS_HELD = 4096  # passages and questions whose tokens are remembered


@dataclass(frozen=True, slots=True)
class _EncodedText:
    """A text's tokens, and the ranges of them that stand in the prompt; all where none are given."""

    token_ids: tuple[int, ...]
    rows: tuple[tuple[int, int], ...] = ()

    @property
    def kept_ids(self) -> tuple[int, ...]:
        if not self.rows:
            return self.token_ids
        return tuple(token_id for start, end in self.rows for token_id in self.token_ids[start:end])


class NativeRuntime:
    """Runs a model of this machine in this process; see `serving.runtime.Runtime`."""

    def __init__(
        self, name: str, engine: Engine, template: ChatTemplate, reuse: PassageReuse, default_reuse: Reuse
    ) -> None:
        self.name = name
        self.default_reuse = default_reuse
        self.engine = engine
        self.reuse = reuse
        self.context_length = engine.model.config.max_position
        self._template = template
        self._encode_frame = lru_cache(maxsize=16)(self._encode_frame_once)
        self._encode_text = lru_cache(maxsize=_TEXTS_HELD)(self._encode_text_once)

    def encode(self, prompt: Prompt) -> PassagePrompt:
        """Token ids of a prompt: the template's tokens around passages and question, which are plain text."""
        before, after = self._encode_frame(prompt.instructions)
        token_ids = list(before)
        passages = []
        for segment in prompt.segments[1:]:
            encoded = self._encode_text(segment.text, segment.kept)
            if segment.owner is not None:
                passages.append(PassageTokens(len(token_ids), encoded.token_ids, segment.owner, encoded.rows))
            token_ids += encoded.kept_ids
        return PassagePrompt((*token_ids, *after), len(before), tuple(passages))

    def count_tokens(self, prompt: Prompt) -> int:
        """See `Runtime`."""
        return len(self.encode(prompt).token_ids)

    def count_text_tokens(self, text: str) -> int:
        """See `Runtime`."""
        return len(self._encode_text(text, ()).token_ids)

    def token_offsets(self, text: str) -> Sequence[int]:
        """See `Runtime`."""
        return self.engine.tokenizer.token_offsets(text)

    def stream(
        self,
        prompt: Prompt,
        params: SamplingParams,
        cancel: threading.Event | None = None,
        deadline_s: float | None = None,
        reuse: Reuse | None = None,
    ) -> Iterator[TextPiece | Completion]:
        """See `Runtime`."""
        return self.engine.stream(self.encode(prompt), params, cancel, deadline_s, reuse)

    def prefetch(self, prompt: Prompt) -> None:
        """Begins to bring the states of a prompt's passages from disk into memory."""
        encoded = self.encode(prompt)
        instructions = encoded.token_ids[: encoded.num_instructions]
        self.reuse.store.prefetch([self.reuse.key(instructions, passage) for passage in encoded.passages])

    def tiers(self, instructions: str, passages: Sequence[PromptPassage]) -> list[Tier | None]:
        """Where a prompt would take each passage's states from; None where they would be computed."""
        before, _ = self._encode_frame(instructions)
        store, pays = self.reuse.store, self.reuse.store.reading_pays
        found = [store.tier_of(self.reuse.key(before, self._tokens_of(passage))) for passage in passages]
        return [tier if tier is Tier.MEMORY or pays else None for tier in found]

    def missing_states(self, instructions: str, passages: Sequence[PromptPassage]) -> list[PromptPassage]:
        """Those of the passages whose states are not kept; those of the others are used thereby."""
        before, _ = self._encode_frame(instructions)
        known = (self.reuse.store.use(self.reuse.key(before, self._tokens_of(passage))) for passage in passages)
        return [passage for passage, is_known in zip(passages, known, strict=True) if not is_known]

    def fits(self, instructions: str, passage: PromptPassage) -> bool:
        """Whether the model can read a passage behind instructions."""
        before, _ = self._encode_frame(instructions)
        return len(before) + len(self._tokens_of(passage).token_ids) <= self.engine.longest_prompt

    def compute_states(
        self, instructions: str, passages: Sequence[PromptPassage], cancel: threading.Event | None = None
    ) -> Iterator[PromptPassage]:
        """Computes the states that are missing, whenever the engine has nothing else to do.

        Yields:
            Each passage whose states are kept now.

        Raises:
            PromptTooLongError: a passage does not fit the model's context, or the memory.
        """
        before, _ = self._encode_frame(instructions)
        for place in self.engine.read(before, [self._tokens_of(passage) for passage in passages], cancel):
            yield passages[place]

    def score_text(
        self,
        instructions: str,
        passages: Sequence[PromptPassage],
        lead: str,
        text: str,
        cancel: threading.Event | None = None,
    ) -> list[tuple[float, ...]]:
        """How likely a text is behind each passage alone: the log probabilities of its tokens.

        A passage stands where its states were computed, so they are taken as they are, and of a passage whose states
        are kept only the tokens of lead and text are computed; the states of others are kept from then on.

        Args:
            lead: stands between passage and text, and is not scored.
            cancel: set it, from any thread, to end early.

        Returns:
            For each passage in turn, by tokens; those that it ended too early for have none.

        Raises:
            InvalidRequestError: lead or text is empty.
            PromptTooLongError: a passage and the text do not fit the model's context, or the memory.
        """
        before, _ = self._encode_frame(instructions)
        between, scored = self._encode_text(lead, ()).token_ids, self._encode_text(text, ()).token_ids
        prompts = []
        for passage in passages:
            tokens = replace(self._tokens_of(passage), start=len(before))
            prompts.append(PassagePrompt((*before, *tokens.token_ids, *between, *scored), len(before), (tokens,)))
        logprobs: list[tuple[float, ...]] = [()] * len(prompts)
        for scoring in self.engine.score(prompts, len(scored), cancel):
            logprobs[scoring.place] = tuple(scoring.logprobs)
        return logprobs

    def warm_up(self, instructions: str) -> None:
        """Computes the instructions' states before the first question comes."""
        self.engine.warm_up(self._encode_frame(instructions)[0])

    def close(self) -> None:
        """See `Runtime`."""
        self.engine.close()

    def _tokens_of(self, passage: PromptPassage) -> PassageTokens:
        if passage.owner is None:
            raise InvalidRequestError(
                "states are kept of passages that belong to a document, and this one has no owner"
            )
        return PassageTokens(0, self._encode_text(passage.text, ()).token_ids, passage.owner)

    def _encode_text_once(self, text: str, kept: tuple[tuple[int, int], ...]) -> _EncodedText:
        token_ids = tuple(self.engine.tokenizer.encode(text))
        if not kept:
            return _EncodedText(token_ids)
        offsets = self.engine.tokenizer.token_offsets(text)
        return _EncodedText(token_ids, tuple(rows_of(offsets, kept)))

    def _encode_frame_once(self, instructions: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        encode = self.engine.tokenizer.encode_template
        before, after = self._template.around(instructions)
        return tuple(encode(before)), tuple(encode(after))


def rows_of(offsets: Sequence[int], spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges of tokens that reach into spans of characters.

    Args:
        offsets: the character at which each token begins, ascending.
        spans: ascending, apart from each other.
    """
    last = 0
    for start, end in spans:
        first = max(last, bisect_right(offsets, start) - 1)
        last = max(last, bisect_left(offsets, end))
        if first < last:
            yield first, last
