"""The head as a network that can be trained."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from ingest.embed.head import LateHead

DIMENSION = 128
_SHARPNESS = 15.0  # as `rag.rerank.interaction` has them
_WINDOW, _STRIDE = 32, 16
_WINDOW_WEIGHT = 0.4


class HeadNetwork(nn.Module):
    """Tuned copies of the embedding model's last layers, a projection, and the weight of a question's token.

    Args:
        folder: the embedding model.
        layer: the first layers that are not copied.
    """

    def __init__(self, folder: Path, layer: int) -> None:
        from transformers import AutoModel

        super().__init__()
        model = AutoModel.from_pretrained(str(folder), local_files_only=True, attn_implementation="sdpa")
        size = model.config.hidden_size
        self.layer = layer
        self.layers = nn.ModuleList(copy.deepcopy(list(model.encoder.layer[layer:])))
        self.projection = nn.Linear(size, DIMENSION, bias=False)
        self.weight = nn.Linear(size, 1)
        nn.init.zeros_(self.weight.weight)
        nn.init.ones_(self.weight.bias)
        self.temperature = nn.Parameter(torch.tensor(3.0))

    def begin_with(self, states: Tensor) -> None:
        """Projects on the principal directions of some last states [tokens, hidden size]."""
        unit = functional.normalize(states.float(), dim=1)
        _, directions = torch.linalg.eigh(unit.T @ unit)
        self.projection.weight.data = directions.flip(1)[:, :DIMENSION].T.contiguous()

    def begin_with_head(self, head: LateHead) -> None:
        """Goes on where a head is."""
        self.projection.weight.data = torch.from_numpy(head.projection).clone()
        self.weight.weight.data = torch.from_numpy(head.weight).clone()[None]
        self.weight.bias.data = torch.tensor([head.bias])
        state = {name.removeprefix("encoder.layer."): tensor for name, tensor in head.layers.items()}
        for number, layer in enumerate(self.layers, start=self.layer):
            own = {name.split(".", 1)[1]: tensor for name, tensor in state.items() if name.startswith(f"{number}.")}
            layer.load_state_dict(own)

    def tensors(self) -> dict[str, Tensor]:
        """As `ingest.embed.head.write_head` takes them."""
        made = {"projection": self.projection.weight, "weight": self.weight.weight[0], "bias": self.weight.bias[0]}
        for number, layer in enumerate(self.layers, start=self.layer):
            made |= {f"encoder.layer.{number}.{name}": tensor for name, tensor in layer.state_dict().items()}
        return made

    def states(self, states: Tensor, mask: Tensor) -> Tensor:
        """Last states of texts [texts, tokens, hidden size] from those after `layer`."""
        attended = mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        with torch.autocast("cpu", torch.bfloat16):
            for layer in self.layers:
                made = layer(states, attended)
                states = made[0] if isinstance(made, tuple) else made
        return states.float()

    def scores(self, questions: Batch, passages: Batch) -> Tensor:
        """How well each passage meets each question, [questions, passages]."""
        asked = self.states(questions.states, questions.mask)
        read = self.states(passages.states, passages.mask)
        weights = functional.softplus(self.weight(asked)[..., 0]) * questions.telling
        weights = weights / weights.sum(dim=1, keepdim=True)
        ours = functional.normalize(self.projection(asked), dim=-1)
        theirs = functional.normalize(self.projection(read), dim=-1)
        met = torch.einsum("qid,pjd->qpij", ours, theirs).masked_fill(~passages.telling[None, :, None, :], -10.0)
        lengths = passages.telling.sum(dim=1).log()[None, :, None]
        soft = (torch.logsumexp(met * _SHARPNESS, dim=-1) - lengths) / _SHARPNESS
        windows = functional.max_pool1d(met.flatten(0, 2)[:, None], _WINDOW, _STRIDE, ceil_mode=True)
        best = (windows.view(*met.shape[:3], -1) * weights[:, None, :, None]).sum(dim=2).amax(dim=-1)
        result: Tensor = ((soft * weights[:, None]).sum(dim=-1) + _WINDOW_WEIGHT * best) * self.temperature.exp()
        return result


class Batch:
    """Texts side by side: states [texts, tokens, hidden size], which are there, and which of them have vectors."""

    def __init__(self, texts: Sequence[tuple[Tensor, list[int]]], words: np.ndarray) -> None:
        longest = max(len(ids) for _, ids in texts)
        self.states = torch.zeros(len(texts), longest, texts[0][0].shape[1])
        self.mask = torch.zeros(len(texts), longest, dtype=torch.bool)
        self.telling = torch.zeros(len(texts), longest, dtype=torch.bool)
        for row, (states, ids) in enumerate(texts):
            self.states[row, : len(ids)] = states.float()
            self.mask[row, : len(ids)] = True
            telling = words[ids]
            self.telling[row, : len(ids)] = torch.from_numpy(telling if telling.any() else np.ones_like(telling))
