"""`rag bench engine`: prefill, decoding, time to first token and memory of our engine, of peers, and at best."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rag.bench.contenders import PEERS, Contender, Question, Subject, load_contender, why_missing
from rag.bench.limits import Limits
from rag.bench.machine import Machine, describe_machine, measure_machine
from rag.bench.memory import MemoryTask, peak_memory_mb
from rag.bench.ours import Ours
from rag.bench.prompts import demo_prompt
from rag.bench.report import Figure, Report
from rag.bench.timing import Timing, interleave
from rag.errors import RagError
from serving.engine.quantize import WeightFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rag.config import Settings
    from serving.models.prepared import PreparedModel

    Notify = Callable[[str], None]

_SPARE_TOKENS = 16
_MEMORY_TOKENS = 512
_WHOLE_PROMPT_NOTE = "transformers computes the whole prompt"


@dataclass(frozen=True, slots=True)
class EngineBench:
    """What to measure.

    Attributes:
        formats: weight formats of our engine.
        prompt_lengths: tokens that are prefilled at once.
        contexts: tokens that stand before those that are decoded.
        decode_steps: tokens decoded in one run.
        question_tokens: at most so many has the prompt whose time to first token is measured.
        peers: of `rag.bench.contenders.PEERS`.

    Raises:
        RagError: a format is unknown, or there is none.
    """

    formats: tuple[str, ...] = ("int8", "bf16")
    prompt_lengths: tuple[int, ...] = (512, 2048)
    contexts: tuple[int, ...] = (32, 2048)
    repeats: int = 5
    decode_steps: int = 32
    question_tokens: int = 1024
    peers: tuple[str, ...] = PEERS

    def __post_init__(self) -> None:
        known = [str(weight_format) for weight_format in WeightFormat]
        unknown = [name for name in self.formats if name not in known]
        if unknown or not self.formats:
            asked = ", ".join(map(repr, unknown)) or "none"
            raise RagError(f"the weight formats to measure: {asked}; there are {', '.join(known)}")

    @property
    def max_tokens(self) -> int:
        """Room for the longest sequence that comes up."""
        decoded = max(self.contexts) + self.decode_steps
        return max(*self.prompt_lengths, decoded, self.question_tokens) + _SPARE_TOKENS


def bench_engine(settings: Settings, bench: EngineBench, notify: Notify) -> Report:
    """Measures our engine in each format and the peers that are installed, taking turns within each repeat.

    Raises:
        RagError: a peer is unknown, or the model does not read as many tokens as asked for.
    """
    import torch

    from serving.models.load import open_model

    model = open_model(settings.model, settings.models_folder, notify)
    _check_lengths(model, bench)
    reasons = {peer: why_missing(peer, model) for peer in bench.peers}
    names = [*bench.formats, *(peer for peer, reason in reasons.items() if reason is None)]
    subject = Subject(model, settings.device, settings.num_threads or torch.get_num_threads(), bench.max_tokens)
    warnings = describe_machine().warnings  # before our own work counts as load
    machine, figures = _measure(subject, bench, names, notify)
    figures += _memory(settings, subject, names, notify)
    return Report(
        command="bench engine",
        machine=machine,
        settings=_settings(model, bench),
        figures=tuple(figures),
        missing_peers=tuple(reason for reason in reasons.values() if reason is not None),
        warnings=warnings,
    )


def _check_lengths(model: PreparedModel, bench: EngineBench) -> None:
    if bench.max_tokens > model.config.max_position:
        raise RagError(
            f"{model.name} reads {model.config.max_position} tokens at once, this needs {bench.max_tokens}; "
            "measure shorter prompts and contexts"
        )


def _settings(model: PreparedModel, bench: EngineBench) -> dict[str, Any]:
    return {
        "model": model.path.name,
        "formats": list(bench.formats),
        "prompt_lengths": list(bench.prompt_lengths),
        "contexts": list(bench.contexts),
        "decode_steps": bench.decode_steps,
        "question_tokens": bench.question_tokens,
        "repeats": bench.repeats,
    }


def _measure(
    subject: Subject, bench: EngineBench, names: Sequence[str], notify: Notify
) -> tuple[Machine, list[Figure]]:
    """Loads everyone, times them, and frees them again."""
    with ExitStack() as loaded:
        loaded.callback(gc.collect)
        contenders = []
        for name in names:
            contenders.append(load_contender(name, subject, notify))
            loaded.callback(contenders[-1].close)
        notify("measuring the machine")
        device = next(one for one in contenders if isinstance(one, Ours)).model.device
        formats = dict.fromkeys((*map(WeightFormat, bench.formats), WeightFormat.BF16, WeightFormat.FLOAT32))
        machine = measure_machine(device, tuple(formats))
        return machine, _Run(bench, contenders, machine, notify).figures()


class _Run:
    """Times the loaded contenders against each other."""

    def __init__(self, bench: EngineBench, contenders: Sequence[Contender], machine: Machine, notify: Notify) -> None:
        self._bench = bench
        self._contenders = contenders
        self._notify = notify
        self._ours = [one for one in contenders if isinstance(one, Ours)]
        self._limits = {one.name: Limits.of(one.model, machine) for one in self._ours}
        self._machine = machine

    def figures(self) -> list[Figure]:
        found = []
        for length in self._bench.prompt_lengths:
            found += self._prefill(length)
        for context in self._bench.contexts:
            found += self._decode(context)
        question = self._question()
        return [*found, *self._first_token(question, cached=False), *self._first_token(question, cached=True)]

    def _prefill(self, length: int) -> list[Figure]:
        ids = self._token_ids(length)
        self._notify(f"prefilling {length} tokens")
        timings = interleave(self._contenders, self._bench.repeats, lambda one: one.fill(ids))
        limits = {name: length / limits.prefill_s(length) for name, limits in self._limits.items()}
        return self._compared(f"prefill of {length}", "tokens/s", timings, limits, lambda s: length / s)

    def _decode(self, context: int) -> list[Figure]:
        ids, steps = self._token_ids(context), self._bench.decode_steps
        self._notify(f"decoding behind {context} tokens")
        for one in self._contenders:
            one.fill(ids)
        timings = interleave(
            self._contenders,
            self._bench.repeats,
            lambda one: one.decode(steps),
            after=lambda one: one.shorten(steps),
        )
        middle = context + steps // 2
        limits = {name: limits.decode_tokens_per_s(middle) for name, limits in self._limits.items()}
        name = f"decode behind {context}"
        speeds = self._compared(name, "tokens/s", timings, limits, lambda s: steps / s)
        return [*speeds, *(self._bandwidth(figure, middle) for figure in speeds)]

    def _bandwidth(self, speed: Figure, context: int) -> Figure:
        """The memory bandwidth that a decoding speed amounts to."""
        weight_format = speed.name.rsplit(", ", 1)[1]
        read_gb = self._limits[weight_format].decode_gb(context)
        reached = None if speed.ours is None else speed.ours * read_gb
        return Figure(
            f"memory bandwidth of {speed.name}",
            "GB/s",
            reached,
            limit=self._machine.read_gb_per_s,
            note=f"{read_gb * 1000:.0f} MB read for each token",
        )

    def _question(self) -> Question:
        runtime = self._ours[0].runtime
        prompt = demo_prompt(runtime, self._bench.question_tokens)
        encoded = runtime.encode(prompt)
        return Question(prompt, encoded.token_ids, len(encoded.prefix))

    def _first_token(self, question: Question, *, cached: bool) -> list[Figure]:
        num_tokens, num_cached = len(question.token_ids), question.num_prefix if cached else 0
        self._notify(f"first token of {num_tokens}, {num_cached} cached")
        timings = interleave(
            self._contenders,
            self._bench.repeats,
            lambda one: one.first_token(question),
            before=lambda one: one.ready(question, cached=cached),
        )
        limits = {name: limits.prefill_s(num_tokens - num_cached, num_cached) for name, limits in self._limits.items()}
        name = f"time to first token of {num_tokens}" + (f" ({num_cached} cached)" if cached else "")
        figures = self._compared(name, "s", timings, limits, lambda s: s)
        if not cached:
            return figures
        return [replace(figure, note=f"{figure.note}; {_WHOLE_PROMPT_NOTE}") for figure in figures]

    def _compared(
        self,
        name: str,
        unit: str,
        timings: Sequence[Timing],
        limits: dict[str, float],
        value: Callable[[float], float],
    ) -> list[Figure]:
        """One figure for each of our formats, each beside all peers."""
        of = dict(zip((one.name for one in self._contenders), timings, strict=True))
        peers = {other: value(timing.median_s) for other, timing in of.items() if other not in limits}
        return [
            Figure(f"{name}, {own}", unit, value(of[own].median_s), peers, limit, f"spread {of[own].spread:.0%}")
            for own, limit in limits.items()
        ]

    def _token_ids(self, count: int) -> list[int]:
        """Fixed tokens from all over the vocabulary."""
        vocab_size = self._ours[0].model.config.vocab_size
        return [index * 7919 % vocab_size for index in range(count)]


def _memory(settings: Settings, subject: Subject, names: Sequence[str], notify: Notify) -> list[Figure]:
    """Peak memory, each contender in a process of its own."""
    peaks = {}
    for name in names:
        notify(f"measuring the memory of {name}")
        peaks[name] = peak_memory_mb(
            MemoryTask(
                name,
                settings.model,
                str(settings.models_folder),
                subject.device,
                subject.num_threads,
                min(_MEMORY_TOKENS, subject.max_tokens),
            )
        )
    peers = {name: peak for name, peak in peaks.items() if name in PEERS}
    own = [name for name in names if name not in PEERS]
    note = "largest resident memory of a process that loads the model and reads a prompt"
    return [Figure(f"peak memory, {name}", "MB", peaks[name], peers, note=note) for name in own]
