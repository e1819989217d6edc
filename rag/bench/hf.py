"""Hugging Face transformers as a contender, on the very weights that our engine runs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers.initialization import no_init_weights

from rag.bench.workload import Served
from serving.engine.quantize import WeightFormat
from serving.models.prepared import open_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.bench.contenders import Subject
    from rag.bench.workload import Workload
    from serving.models.prepared import PreparedModel


class Transformers:
    """`AutoModelForCausalLM` with fused attention; see `rag.bench.contenders.Contender`."""

    def __init__(self, name: str, subject: Subject, weight_format: WeightFormat) -> None:
        torch.set_num_threads(subject.num_threads)
        self.name = name
        self._device = subject.torch_device
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

    def ready(self, known: Sequence[int]) -> None:
        """See `Contender`; `generate` keeps nothing from one prompt to the next."""

    def first_token(self, token_ids: Sequence[int]) -> None:
        """See `Contender`."""
        self._generate([token_ids], 1)

    def serve(self, workload: Workload) -> Served:
        """See `Contender`; prompts are padded to the longest of those that run together; only whole answers come."""
        started = time.perf_counter()
        for start in range(0, len(workload.prompts), workload.at_once):
            self._generate(workload.prompts[start : start + workload.at_once], workload.answer_tokens)
        return Served(time.perf_counter() - started)

    def close(self) -> None:
        """See `Contender`."""
        del self._model, self._states

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Sequence[int]], num_tokens: int) -> None:
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        self._model.generate(
            ids.to(self._device),
            attention_mask=mask.to(self._device),
            min_new_tokens=num_tokens,
            max_new_tokens=num_tokens,
            do_sample=False,
            pad_token_id=0,
        )

    def _forward(self, token_ids: Sequence[int]) -> None:
        ids = torch.tensor([token_ids], device=self._device)
        output = self._model(ids, past_key_values=self._states, use_cache=True, logits_to_keep=1)
        self._states = output.past_key_values
        output.logits[0, -1, 0].item()


def load_causal_lm(model: PreparedModel, dtype: torch.dtype) -> Any:
    """The model in transformers' own code, filled by weight name from the file our engine reads.

    transformers reads GGUF files too, but takes the longer the larger the vocabulary is; the values are the same.
    """
    settings = json.loads((model.folder / "config.json").read_text(encoding="utf-8"))
    config = transformers.AutoConfig.for_model(**{name: value for name, value in settings.items() if value is not None})
    with no_init_weights():
        built = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    built.tie_weights()
    source = open_weights(model, WeightFormat.FLOAT32)
    for name, parameter in built.named_parameters():  # tied weights are named once
        parameter.data.copy_(source.tensor(name, tuple(parameter.shape)))
    return built.eval()
