"""Passages that were read before: what a prompt takes from kept states, and what is read first so that it can."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from serving.engine.batch import BLOCK_SIZE, PIECE_TOKENS, Chunk, Placement
from serving.engine.passages import KeptLayout, digest_of
from serving.states.types import Owner, StatesFormat, StatesKey

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from serving.engine.batch import Runner
    from serving.runtime import Reuse
    from serving.states.store import StateStore
    from serving.states.types import KeptStates

_MAX_INSTRUCTIONS = 16  # whose states are held; there are as many as there are ways of asking
NOBODY = Owner("", "")  # instructions belong to no document
_EARLY_LAYERS = 2  # the second layer's values are the first that know of their company


@dataclass(frozen=True, slots=True)
class PassageTokens:
    """A passage of a prompt.

    Attributes:
        start: place of its first token in the prompt.
        token_ids: of the whole passage.
        rows: the ranges of these that stand in the prompt, one behind the other; all of them where none are given.
    """

    start: int
    token_ids: tuple[int, ...]
    owner: Owner
    rows: tuple[tuple[int, int], ...] = ()

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """As `rows`, spelt out."""
        return self.rows or ((0, len(self.token_ids)),)


@dataclass(frozen=True, slots=True)
class PassagePrompt:
    """A prompt's tokens, the first `num_instructions` of which are instructions, and the passages among them."""

    token_ids: tuple[int, ...]
    num_instructions: int = 0
    passages: tuple[PassageTokens, ...] = ()


class Text:
    """A text whose states are kept or wanted: instructions, or a passage that is read behind them.

    Attributes:
        first: the position at which it is read, behind so many tokens of instructions.
        states: None until they are there; whoever waits for them holds this object.
    """

    def __init__(self, key: StatesKey, token_ids: Sequence[int], first: int, layout: KeptLayout) -> None:
        self.key = key
        self.token_ids = tuple(token_ids)
        self.first = first
        self.layout = layout
        self.states: KeptStates | None = None


@dataclass(frozen=True, slots=True)
class PlacedText:
    """Tokens of a text and their place in a prompt.

    Attributes:
        row: which of the text's tokens is the first.
        num_repaired: so many of the first ones are computed anew all the same.
        is_known: the states were there when the prompt came.
    """

    text: Text
    position: int
    row: int
    num_tokens: int
    num_repaired: int = 0
    is_known: bool = True

    @property
    def end(self) -> int:
        """The position behind its last token."""
        return self.position + self.num_tokens

    @property
    def placement(self) -> Placement:
        """For the runner, once the states are there."""
        if self.text.states is None:
            raise AssertionError("a text is placed before its states are there")
        return Placement(self.text.states, self.text.layout, self.position, self.row, self.num_tokens)


class Layout:
    """How a prompt is made of texts with kept states and of tokens that are computed.

    Args:
        num_tokens: of the prompt.
        share: of the later passages' tokens that are still to be chosen for repair.

    Attributes:
        computed: positions of what is computed, ascending; the last of the prompt is always one of them.
        share: 0 once these tokens are chosen.
    """

    def __init__(self, num_tokens: int, texts: Sequence[PlacedText], share: float = 0.0) -> None:
        self.texts = tuple(texts)
        self.share = share if self.later_passages else 0.0
        self._in_texts = bytearray(num_tokens)
        kept = bytearray(num_tokens)
        for text in texts:
            self._in_texts[text.position : text.end] = bytes([2 if text.is_known else 1]) * text.num_tokens
            kept[text.position + text.num_repaired : text.end] = bytes([1]) * (text.num_tokens - text.num_repaired)
        kept[-1] = 0
        self.computed = [position for position in range(num_tokens) if not kept[position]]

    @classmethod
    def of(
        cls,
        prompt: PassagePrompt,
        instructions: Text,
        passages: Sequence[Text],
        reuse: Reuse,
        known: Container[StatesKey],
    ) -> Layout:
        """The layout of a prompt whose texts are these.

        Args:
            known: the keys of those that had states when the prompt came.
        """
        placed = []
        if prompt.num_instructions:
            placed.append(PlacedText(instructions, 0, 0, prompt.num_instructions, is_known=instructions.key in known))
        for index, (passage, text) in enumerate(zip(prompt.passages, passages, strict=True)):
            position, unrepaired = passage.start, reuse.repair_tokens if index else 0
            for start, end in passage.ranges:
                repaired = min(unrepaired, end - start)
                placed.append(PlacedText(text, position, start, end - start, repaired, text.key in known))
                position, unrepaired = position + end - start, unrepaired - repaired
        return cls(len(prompt.token_ids), placed, reuse.repair_share)

    @property
    def ready(self) -> bool:
        """Whether all states are there and all tokens for repair chosen."""
        return self.share == 0 and self.has_states

    @property
    def has_states(self) -> bool:
        """Whether all states are there."""
        return all(text.text.states is not None for text in self.texts)

    @property
    def num_repaired(self) -> int:
        """Tokens that are computed although they have kept states."""
        return sum(self._in_texts[position] > 0 for position in self.computed)

    @property
    def num_cached(self) -> int:
        """Tokens that are not computed, and whose states nobody had to compute for this prompt."""
        known = self._in_texts.count(2)
        return known - sum(self._in_texts[position] == 2 for position in self.computed)  # noqa: PLR2004

    @property
    def later_passages(self) -> list[PlacedText]:
        """Those behind the first one, whose company is not what it was."""
        passages = [text for text in self.texts if text.text.key.owner != NOBODY]
        return [text for text in passages if text.text is not passages[0].text]

    def repair(self, positions: Iterable[int]) -> None:
        """Has more tokens computed anew; all are chosen then."""
        self.computed = sorted({*self.computed, *positions})
        self.share = 0.0


@dataclass(slots=True)
class PassageReuse:
    """Finds the texts of prompts, and chooses the tokens that are repaired.

    Args:
        model: digest of the model's file and the format of its weights.
        states_format: how passages are kept; instructions always are as they were computed.
    """

    runner: Runner
    store: StateStore
    model: str
    states_format: StatesFormat = StatesFormat.INT8
    _instructions: OrderedDict[str, Text] = field(default_factory=OrderedDict)

    @property
    def layout(self) -> KeptLayout:
        """Of passages' states."""
        return KeptLayout.of(self.runner.config, self.states_format)

    def key(self, instructions: Sequence[int], passage: PassageTokens) -> StatesKey:
        """What a passage's states are kept under, when they were computed behind these instructions."""
        model = digest_of(self.model, self.states_format, token_ids=instructions)
        return StatesKey(model, passage.owner, digest_of(token_ids=passage.token_ids))

    def instructions(self, token_ids: Sequence[int]) -> Text:
        """The text of instructions; to be called with the engine's lock held."""
        digest = digest_of(token_ids=token_ids)
        if digest not in self._instructions:
            layout = KeptLayout.of(self.runner.config, StatesFormat.BF16)
            key = StatesKey(self.model, NOBODY, digest)
            self._instructions[digest] = Text(key, token_ids, 0, layout)
        self._instructions.move_to_end(digest)
        if len(self._instructions) > _MAX_INSTRUCTIONS:
            self._instructions.popitem(last=False)
        return self._instructions[digest]

    def passages(self, prompt: PassagePrompt) -> list[Text]:
        """The texts of a prompt's passages, without states."""
        instructions = prompt.token_ids[: prompt.num_instructions]
        return [
            Text(self.key(instructions, passage), passage.token_ids, len(instructions), self.layout)
            for passage in prompt.passages
        ]

    def find(self, texts: Sequence[Text]) -> None:
        """Gives texts their states where these are kept; it may read from disk."""
        for text, states in zip(texts, self.store.find([text.key for text in texts]), strict=True):
            if states is not None and states.data.nbytes == text.layout.num_bytes(len(text.token_ids)):
                text.states = states

    def keep(self, text: Text) -> None:
        """Keeps a text's states for later; those of instructions stay with the text alone."""
        if text.states is not None and text.key.owner != NOBODY:
            self.store.put(text.key, text.states)

    def most_changed(self, token_ids: Sequence[int], layout: Layout) -> list[int]:
        """Positions of the passages' tokens whose values change most in their new company (CacheBlend, Yao et al.).

        The first layers are computed for the whole prompt, and what they give is compared with what was kept. The
        tokens of the first passage have the company that they had.
        """
        values = self._early_values(token_ids)
        positions: list[int] = []
        changes = [torch.empty(0, device=values.device)]
        for placed in layout.later_passages:
            chosen = range(placed.position + placed.num_repaired, placed.end)
            first = placed.row + placed.num_repaired
            states = placed.placement.states
            one_layer, data = placed.text.layout.layer(self._num_early - 1, states.data, states.num_tokens)
            kept = one_layer.unpack(data, states.num_tokens, values.device)[1][0, :, first : first + len(chosen)]
            changes.append((values[:, chosen.start : chosen.stop] - kept).square().sum(dim=(0, 2)))
            positions += chosen
        most = torch.topk(torch.cat(changes), round(layout.share * len(positions))).indices
        return [positions[index] for index in most.tolist()]

    @property
    def _num_early(self) -> int:
        return min(_EARLY_LAYERS, self.runner.config.num_layers)

    def _early_values(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Values that an early layer gives the tokens in each other's company: float32 [kv_heads, tokens, head_dim]."""
        blocks = range(-(-len(token_ids) // BLOCK_SIZE))
        early = self.runner.early(self._num_early)
        states = early.new_states(len(blocks))
        for start in range(0, len(token_ids), PIECE_TOKENS):
            early.forward([Chunk(token_ids[start : start + PIECE_TOKENS], start, blocks, 0)], states)
        layout = KeptLayout.of(early.config, StatesFormat.BF16)
        taken = early.take(0, len(token_ids), blocks, states, layout)
        return layout.unpack(taken.data, len(token_ids), self.runner.device)[1][-1]
