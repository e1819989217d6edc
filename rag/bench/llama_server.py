"""Many requests at once with llama.cpp: the loop of its server (`update_slots`) on its batch interface."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from rag.bench.workload import Served
from rag.errors import RagError

if TYPE_CHECKING:
    from rag.bench.workload import Workload

_PADDING = 256  # llama.cpp rounds each sequence's memory to it


@dataclass(slots=True)
class _Slot:
    """A request that is under way.

    Attributes:
        number: of the sequence in the context's memory.
        pending: tokens whose states are not computed: of the prompt, then the newest one.
        times: of the request, then of each token.
    """

    number: int
    pending: deque[int]
    times: list[float]
    num_computed: int = 0
    logits_at: int | None = field(default=None)  # place in the present batch

    @property
    def reading(self) -> bool:
        return len(self.times) == 1


class LlamaServer:
    """A context for so many sequences at once. Each step computes the next token of each and pieces of prompts.

    Args:
        model: of llama-cpp-python's low level.
        batch_tokens: most tokens of a step.
    """

    def __init__(self, model: Any, workload: Workload, num_threads: int, batch_tokens: int) -> None:
        longest = max(map(len, workload.prompts)) + workload.answer_tokens
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = workload.at_once * -(-longest // _PADDING) * _PADDING
        params.n_batch = params.n_ubatch = batch_tokens
        params.n_seq_max = workload.at_once
        params.n_threads = params.n_threads_batch = num_threads
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.kv_unified = False  # faster where the prompts share nothing, as llama.h says
        self._workload = workload
        self._batch_tokens = batch_tokens
        self._num_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._context = llama_cpp.llama_init_from_model(model, params)
        if not self._context:
            raise RagError(f"llama.cpp has no room for {workload.at_once} requests at once; measure fewer")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(batch_tokens, 0, 1)

    def serve(self) -> Served:
        """Answers all requests."""
        started = time.perf_counter()
        waiting = deque(self._workload.prompts)
        free = deque(range(self._workload.at_once))
        slots: list[_Slot] = []
        arrivals = []
        while waiting or slots:
            while waiting and free:
                slots.append(_Slot(free.popleft(), deque(waiting.popleft()), [time.perf_counter()]))
            self._step(slots)
            for slot in [slot for slot in slots if len(slot.times) > self._workload.answer_tokens]:
                llama_cpp.llama_memory_seq_rm(self._memory, slot.number, -1, -1)
                slots.remove(slot)
                free.append(slot.number)
                arrivals.append(slot.times)
        return Served.of(time.perf_counter() - started, arrivals)

    def close(self) -> None:
        """Frees the context."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._context)

    def _step(self, slots: list[_Slot]) -> None:
        self._batch.n_tokens = 0
        for slot in sorted(slots, key=lambda slot: slot.reading):  # next tokens of answers first
            slot.logits_at = None
            while slot.pending and self._batch.n_tokens < self._batch_tokens:
                self._add(slot)
        if llama_cpp.llama_decode(self._context, self._batch):
            raise RagError("llama.cpp failed to compute a batch")
        for slot in slots:
            if slot.logits_at is not None:
                slot.pending.append(self._likeliest(slot.logits_at))
                slot.times.append(time.perf_counter())

    def _add(self, slot: _Slot) -> None:
        """Puts the slot's next token into the batch, and asks for logits if it is the last one known."""
        place = self._batch.n_tokens
        self._batch.token[place] = slot.pending.popleft()
        self._batch.pos[place] = slot.num_computed
        self._batch.n_seq_id[place] = 1
        self._batch.seq_id[place][0] = slot.number
        self._batch.logits[place] = not slot.pending
        self._batch.n_tokens += 1
        slot.num_computed += 1
        if not slot.pending:
            slot.logits_at = place

    def _likeliest(self, place: int) -> int:
        logits = llama_cpp.llama_get_logits_ith(self._context, place)
        return int(np.ctypeslib.as_array(logits, shape=(self._num_vocab,)).argmax())
