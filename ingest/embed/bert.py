"""BERT (Devlin et al. 2019) over texts of any lengths side by side, without padding."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch.nn import functional

from ingest.embed.linear import Linear

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    State = Mapping[str, Tensor]

_WORDS = "embeddings.word_embeddings.weight"
_SCORES_AT_ONCE = 1 << 20  # attention scores that are held at a time: they stay in the cache


class UnsupportedModelError(Exception):
    """A network that `Bert` does not compute; the message says which."""


@dataclass(frozen=True, slots=True)
class BertConfig:
    """Sizes of the network, from its `config.json`."""

    hidden_size: int
    num_layers: int
    num_heads: int
    norm_epsilon: float
    max_tokens: int = 512

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The configuration of a model in Hugging Face's layout.

        Raises:
            UnsupportedModelError: its architecture is another, or it departs from BERT.
        """
        given: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        for name, (only, default) in _REQUIRED.items():
            if given.get(name, default) != only:
                raise UnsupportedModelError(f"{folder}: {name} is {given.get(name)!r}, not {only!r}")
        return cls(
            hidden_size=given["hidden_size"],
            num_layers=given["num_hidden_layers"],
            num_heads=given["num_attention_heads"],
            norm_epsilon=given.get("layer_norm_eps", 1e-12),
            max_tokens=given["max_position_embeddings"],
        )


_REQUIRED = {  # name: (the only value that is computed here, what it is where it is not said)
    "model_type": ("bert", None),
    "hidden_act": ("gelu", "gelu"),
    "position_embedding_type": ("absolute", "absolute"),
    "is_decoder": (False, False),
    "add_cross_attention": (False, False),
}


@dataclass(frozen=True, slots=True)
class Hidden:
    """The states of every token of some texts, packed one text behind the other.

    Attributes:
        states: [all tokens, hidden size], in the network's number format.
        offsets: text i's tokens are the rows from offsets[i] to offsets[i + 1].
    """

    states: Tensor
    offsets: tuple[int, ...]

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.offsets) - 1

    def of(self, text: int) -> Tensor:
        """The states of one text, [its tokens, hidden size]; a view."""
        return self.states[self.offsets[text] : self.offsets[text + 1]]

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many tokens each text has."""
        return tuple(end - start for start, end in zip(self.offsets, self.offsets[1:], strict=False))


class Bert:
    """The network, in float32 or bfloat16.

        bert = Bert(read_state(folder), BertConfig.read(folder), torch.bfloat16)
        lower = bert.encode([[101, 7592, 102], [101, 102]], up_to_layer=4)
        last = bert.encode_further(lower, from_layer=4)     # the same as bert.encode(…)

    It holds no state between calls: threads may share it. Texts of one length attend in one product, and all tokens
    share the linear layers' products, so that nothing is computed for padding. Norms are computed in float32.

    Args:
        state: weights by name, as Hugging Face's `BertModel` names them, also below a prefix.
        dtype: of weights and states.

    Raises:
        UnsupportedModelError: a weight is missing.
    """

    def __init__(self, state: State, config: BertConfig, dtype: torch.dtype = torch.float32) -> None:
        self.config = config
        self.dtype = dtype
        weights = _unprefixed(state)
        try:
            self._words = weights[_WORDS]
            self._places = (
                weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
            )
            self._norm = _Norm(weights, "embeddings.LayerNorm", config.norm_epsilon)
            self._layers = [_Layer(weights, number, config, dtype) for number in range(config.num_layers)]
        except KeyError as error:
            raise UnsupportedModelError(f"the weights lack {error}") from error

    def tuned(self, state: State) -> Bert:
        """This network with those of its layers replaced that are in `state`; everything else is shared.

        Raises:
            UnsupportedModelError: a layer is there in part.
        """
        weights = {_layer_name(name): weight.float() for name, weight in state.items()}
        other = object.__new__(Bert)
        other.__dict__.update(self.__dict__)
        numbers = {int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer.")}
        try:
            other._layers = [
                _Layer(weights, number, self.config, self.dtype) if number in numbers else layer
                for number, layer in enumerate(self._layers)
            ]
        except KeyError as error:
            raise UnsupportedModelError(f"the weights lack {error}") from error
        return other

    def operations(self, lengths: Sequence[int]) -> int:
        """Multiplications and additions of the products that texts of these lengths need."""
        weights = sum(layer.num_weights for layer in self._layers)
        attention = 2 * self.config.hidden_size * len(self._layers)
        return sum(2 * length * (weights + attention * length) for length in lengths)

    @torch.inference_mode()
    def encode(self, ids: Sequence[Sequence[int]], *, up_to_layer: int | None = None) -> Hidden:
        """States of all tokens after so many layers; after the last one without `up_to_layer`.

        Args:
            ids: token ids of each text, special tokens included; at least one each.
        """
        lengths = [len(row) for row in ids]
        tokens = torch.tensor([token for row in ids for token in row])
        places = torch.cat([torch.arange(length) for length in lengths])
        states = functional.embedding(tokens, self._words) + functional.embedding(places, self._places)
        hidden = Hidden(self._norm(states).to(self.dtype), _offsets(lengths))
        return self.encode_further(hidden, from_layer=0, up_to_layer=up_to_layer)

    @torch.inference_mode()
    def encode_further(self, hidden: Hidden, *, from_layer: int, up_to_layer: int | None = None) -> Hidden:
        """What the layers from `from_layer` on make of states that the layers before gave."""
        lengths = hidden.lengths
        order = sorted(range(len(lengths)), key=lambda text: -lengths[text])
        sorted_already = order == list(range(len(order)))
        states = hidden.states if sorted_already else torch.cat([hidden.of(text) for text in order])
        groups = _groups([lengths[text] for text in order], self.config.num_heads)
        for layer in self._layers[from_layer:up_to_layer]:
            states = layer(states, groups)
        if not sorted_already:
            packed = Hidden(states, _offsets([lengths[text] for text in order]))
            place = {text: at for at, text in enumerate(order)}
            states = torch.cat([packed.of(place[text]) for text in range(len(order))])
        return Hidden(states, hidden.offsets)


class _Layer:
    """Attention and a feed-forward network, each added to its input and normalised."""

    def __init__(self, weights: State, number: int, config: BertConfig, dtype: torch.dtype) -> None:
        name = f"encoder.layer.{number}."
        heads = name + "attention.self."
        shrink = (config.hidden_size // config.num_heads) ** -0.5
        query, key, value = (
            (weights[f"{heads}{part}.weight"], weights[f"{heads}{part}.bias"]) for part in ("query", "key", "value")
        )
        self._qkv = Linear(
            torch.cat([query[0] * shrink, key[0], value[0]]), torch.cat([query[1] * shrink, key[1], value[1]]), dtype
        )
        self._out = Linear.of(weights, name + "attention.output.dense", dtype)
        self._attention_norm = _Norm(weights, name + "attention.output.LayerNorm", config.norm_epsilon)
        self._up = Linear.of(weights, name + "intermediate.dense", dtype)
        self._down = Linear.of(weights, name + "output.dense", dtype)
        self._norm = _Norm(weights, name + "output.LayerNorm", config.norm_epsilon)
        self._num_heads = config.num_heads

    @property
    def num_weights(self) -> int:
        """Of its linear layers."""
        return sum(linear.num_weights for linear in (self._qkv, self._out, self._up, self._down))

    def __call__(self, states: Tensor, groups: Sequence[tuple[int, int, int]]) -> Tensor:
        attended = _attend(self._qkv(states), groups, self._num_heads)
        states = self._attention_norm(self._out.added(attended, states))
        return self._norm(self._down.added(self._up.gelu(states), states))


def _attend(qkv: Tensor, groups: Sequence[tuple[int, int, int]], num_heads: int) -> Tensor:
    """Softmax attention within each text; queries come divided by the root of their size.

    Args:
        qkv: [tokens, 3 × hidden size].
        groups: (first row, texts, tokens of each) of texts that are equally long.
    """
    hidden_size = qkv.shape[1] // 3
    head_size = hidden_size // num_heads
    context = torch.empty(len(qkv), hidden_size, dtype=qkv.dtype)
    for start, count, length in groups:
        rows = slice(start, start + count * length)
        parts = qkv[rows].view(count, length, 3, num_heads, head_size).permute(2, 0, 3, 1, 4)
        query, key, value = parts.reshape(3, count * num_heads, length, head_size)
        scores = torch.bmm(query, key.transpose(1, 2))
        weights = scores.softmax(dim=2, dtype=torch.float32).to(scores.dtype)  # it is slow in bfloat16
        attended = torch.bmm(weights, value).view(count, num_heads, length, head_size)
        context[rows].view(count, length, num_heads, head_size).copy_(attended.transpose(1, 2))
    return context


class _Norm:
    def __init__(self, weights: State, name: str, epsilon: float) -> None:
        self._weight, self._bias = weights[name + ".weight"], weights[name + ".bias"]
        self._epsilon = epsilon

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self._weight.shape, self._weight, self._bias, self._epsilon)


def read_state(folder: Path) -> dict[str, Tensor]:
    """Weights by name from `model.safetensors`, which is mapped into memory.

    Raises:
        UnsupportedModelError: there is none.
        OSError: it cannot be read, or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / "model.safetensors"
    if not path.is_file():
        raise UnsupportedModelError(f"{folder} has no model.safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise OSError(f"model.safetensors is damaged: {error}") from error


def _unprefixed(state: State) -> dict[str, Tensor]:
    prefix = next((name.removesuffix(_WORDS) for name in state if name.endswith(_WORDS)), "")
    return {name.removeprefix(prefix): weight.float() for name, weight in state.items()}


def _layer_name(name: str) -> str:
    """From `encoder.layer.` on."""
    return name[max(name.find("encoder.layer."), 0) :]


def _offsets(lengths: Sequence[int]) -> tuple[int, ...]:
    offsets = [0]
    for length in lengths:
        offsets.append(offsets[-1] + length)
    return tuple(offsets)


def _groups(lengths: Sequence[int], num_heads: int) -> list[tuple[int, int, int]]:
    """(first row, texts, tokens of each) of neighbours that are equally long, as many as are computed at once."""
    groups: list[tuple[int, int, int]] = []
    row = 0
    for length in lengths:
        if groups:
            start, count, same = groups[-1]
            if same == length and (count + 1) * num_heads * length * length <= _SCORES_AT_ONCE:
                groups[-1] = (start, count + 1, same)
                row += length
                continue
        groups.append((row, 1, length))
        row += length
    return groups
