"""What a model predicts along an answer that is given to it, however its prompt's states came about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.errors import RagError
from serving.engine.batch import BLOCK_SIZE, PIECE_TOKENS, Chunk
from serving.engine.reuse import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from serving.engine.reuse import PassagePrompt
    from serving.native import NativeRuntime
    from serving.runtime import Reuse


class Teacher:
    """Computes prompts and answers as the engine does, and beside it: not while the engine works."""

    def __init__(self, runtime: NativeRuntime) -> None:
        self._runner = runtime.engine.model
        self._reuse = runtime.reuse

    def log_probabilities(self, prompt: PassagePrompt, answer: Sequence[int], reuse: Reuse | None) -> torch.Tensor:
        """Log probabilities of every token of the vocabulary in the place of each token of an answer.

        Args:
            reuse: as for the engine; the passages' states must be kept already.

        Returns:
            float32 [len(answer), vocab_size].

        Raises:
            RagError: a passage's states are not kept.
        """
        import torch

        last = len(prompt.token_ids) - 1
        blocks = range(-(-(last + len(answer)) // BLOCK_SIZE))
        layout = None if reuse is None else self._lay_out(prompt, reuse)
        with torch.inference_mode():
            states = self._runner.new_states(len(blocks))
            if layout is not None:
                placements = [text.placement for text in layout.texts]
                self._runner.place(placements, len(prompt.token_ids), blocks, states)
            for chunk in _chunks(prompt, layout, blocks):
                self._runner.forward([chunk], states)
            taught = Chunk([prompt.token_ids[last], *answer[:-1]], last, blocks, len(answer))
            return torch.log_softmax(self._runner.forward([taught], states).float().cpu(), dim=-1)

    def _lay_out(self, prompt: PassagePrompt, reuse: Reuse) -> Layout:
        instructions = self._reuse.instructions(prompt.token_ids[: prompt.num_instructions])
        texts = self._reuse.passages(prompt)
        self._reuse.find(texts)
        layout = Layout.of(prompt, instructions, texts, reuse, {text.key for text in (instructions, *texts)})
        if not layout.has_states:
            raise RagError("the states of a question's passages do not fit the memory; raise states_memory_mb")
        if layout.share:
            layout.repair(self._reuse.most_changed(prompt.token_ids, layout))
        return layout


def _chunks(prompt: PassagePrompt, layout: Layout | None, blocks: range) -> Iterator[Chunk]:
    """All of a prompt that is to be computed, but its last token."""
    positions = range(len(prompt.token_ids)) if layout is None else layout.computed
    for start in range(0, len(positions) - 1, PIECE_TOKENS):
        piece = positions[start : min(start + PIECE_TOKENS, len(positions) - 1)]
        token_ids = [prompt.token_ids[position] for position in piece]
        yield Chunk(token_ids, piece[0], blocks, 0, () if layout is None else piece)
