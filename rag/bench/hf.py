"""Hugging Face transformers as a contender, on the very weights that our engine runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers.initialization import no_init_weights

from serving.engine.quantize import WeightFormat
from serving.models.prepared import open_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.bench.contenders import Question, Subject
    from serving.models.prepared import PreparedModel


class Transformers:
    """`AutoModelForCausalLM` with fused attention; see `rag.bench.contenders.Contender`."""

    def __init__(self, name: str, subject: Subject, weight_format: WeightFormat) -> None:
        torch.set_num_threads(subject.num_threads)
        self.name = name
        use_gpu = subject.device != "cpu" and torch.cuda.is_available()
        self._device = torch.device("cuda" if use_gpu else "cpu")
        self._model = load_causal_lm(subject.model, weight_format.activation_dtype).to(self._device)
        self._states: Any = None

    @torch.inference_mode()
    def fill(self, token_ids: Sequence[int]) -> None:
        """See `Contender`."""
        self._states = None
        self._forward(token_ids)

    @torch.inference_mode()
    def decode(self, num_steps: int) -> None:
        """See `Contender`."""
        for _ in range(num_steps):
            self._forward([0])

    def shorten(self, num_tokens: int) -> None:
        """See `Contender`."""
        self._states.crop(-num_tokens)

    def ready(self, question: Question, *, cached: bool) -> None:
        """See `Contender`; `generate` keeps nothing from one prompt to the next."""

    @torch.inference_mode()
    def first_token(self, question: Question) -> None:
        """See `Contender`."""
        ids = self._tensor(question.token_ids)
        mask = torch.ones_like(ids)
        self._model.generate(ids, attention_mask=mask, max_new_tokens=1, do_sample=False, pad_token_id=0)

    def close(self) -> None:
        """See `Contender`."""
        del self._model, self._states

    def _forward(self, token_ids: Sequence[int]) -> None:
        output = self._model(self._tensor(token_ids), past_key_values=self._states, use_cache=True, logits_to_keep=1)
        self._states = output.past_key_values
        output.logits[0, -1, 0].item()

    def _tensor(self, token_ids: Sequence[int]) -> torch.Tensor:
        return torch.tensor([token_ids], device=self._device)


def load_causal_lm(model: PreparedModel, dtype: torch.dtype) -> Any:
    """The model in transformers' own code, filled by weight name from the file our engine reads.

    transformers reads GGUF files too, but takes the longer the larger the vocabulary is; the values are the same.
    """
    settings = json.loads((model.folder / "config.json").read_text(encoding="utf-8"))
    config = transformers.AutoConfig.for_model(**settings)
    with no_init_weights():
        built = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    built.tie_weights()
    source = open_weights(model, WeightFormat.FLOAT32)
    for name, parameter in built.named_parameters():  # tied weights are named once
        parameter.data.copy_(source.tensor(name, tuple(parameter.shape)))
    return built.eval()
