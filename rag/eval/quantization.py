"""`rag eval quantization`: what rounding a model's weights costs in quality, and what it saves in memory and time."""

from __future__ import annotations

import gc
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.encoding import decode, looks_like_text
from rag.bench.machine import describe_machine
from rag.bench.report import Figure, Report
from rag.demo.run import demo_folder
from rag.errors import RagError
from rag.eval.distributions import BF16, FLOAT32, Distances, Reference, decode_speed, distances, prefill_speed
from serving.engine.kvcache import KVFormat
from serving.engine.quantize import WeightFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rag.config import Settings
    from serving.engine.batch import Runner
    from serving.models.memory import MemoryNeed
    from serving.models.prepared import PreparedModel

    Notify = Callable[[str], None]

_LEAST_TOKENS = 32
_PLAIN = (".md", ".txt")


@dataclass(frozen=True, slots=True)
class QuantizationEval:
    """What to compare.

    Attributes:
        formats: weight formats beside the references, which are float32 and bf16.
        kv_formats: formats of the key/value states; each is tried with each weight format.
        text: file of running text; None for the demo's documents.
        max_tokens: read from its beginning.
        window: tokens read at once; each window is predicted from nothing but its own beginning.
        repeats: runs of which the median speed is told.

    Raises:
        RagError: a format is unknown.
    """

    formats: tuple[str, ...] = ("int8", "int4")
    kv_formats: tuple[str, ...] = ("auto",)
    text: Path | None = None
    max_tokens: int = 4096
    window: int = 512
    repeats: int = 3

    def __post_init__(self) -> None:
        _check_known("weight formats", self.formats, WeightFormat)
        _check_known("formats of key/value states", self.kv_formats, KVFormat)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The references first, then every combination once."""
        references = (Variant(WeightFormat.FLOAT32, KVFormat.AUTO), Variant(WeightFormat.BF16, KVFormat.AUTO))
        asked = [Variant(WeightFormat(name), KVFormat(states)) for name in self.formats for states in self.kv_formats]
        return tuple(dict.fromkeys((*references, *asked)))


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to hold a model in memory."""

    weight_format: WeightFormat
    kv_format: KVFormat

    @property
    def name(self) -> str:
        """`int8`, or `int8 with int8 states`."""
        return self.weight_format if self.kv_format is KVFormat.AUTO else f"{self.weight_format} with int8 states"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured of one variant.

    Attributes:
        runs_on: `kernels` for the project's own, else `PyTorch`.
        prefill, decode: tokens/s.
    """

    name: str
    distances: Distances
    need: MemoryNeed
    prefill: float
    decode: float
    runs_on: str

    def row(self) -> dict[str, Any]:
        """The outcome as a JSON object."""
        found = self.distances
        return {
            "format": self.name,
            "perplexity": found.perplexity,
            "kl_to_float32": found.divergence.get(FLOAT32),
            "top_1_as_float32": found.agreement.get(FLOAT32),
            "kl_to_bf16": found.divergence.get(BF16),
            "top_1_as_bf16": found.agreement.get(BF16),
            "weights_mb": self.need.weight_bytes / 1e6,
            "states_mb_per_1000": self.need.kv_bytes_per_token / 1e3,
            "prefill": self.prefill,
            "decode": self.decode,
            "runs_on": self.runs_on,
        }


def eval_quantization(settings: Settings, asked: QuantizationEval, notify: Notify) -> Report:
    """Reads a text with the model in each format, and compares what is predicted at every token.

    Raises:
        RagError: the text cannot be read or is too short, or a reference cannot be kept on disk.
    """
    from serving.models.load import load_tokenizer, open_model

    warnings = describe_machine().warnings
    model = open_model(settings.model, settings.models_folder, notify, settings.adapter)
    token_ids = load_tokenizer(model).encode(_text(asked.text))[: asked.max_tokens]
    if len(token_ids) < _LEAST_TOKENS:
        raise RagError(f"{asked.text}: {len(token_ids)} tokens of text are too few; give {_LEAST_TOKENS} at least")
    windows = _windows(token_ids, min(asked.window, model.config.max_position))
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="rag-eval-") as folder:
        references = {name: Reference(Path(folder) / name) for name in (FLOAT32, BF16)}
        for variant in asked.variants:
            outcomes.append(_measure(variant, _Subject(settings, model, asked, windows, references), notify))
            gc.collect()
    return Report(
        command="eval quantization",
        machine=describe_machine(),
        settings={
            "model": model.name,
            "text": asked.text.name if asked.text else "of the demo",
            "tokens": sum(len(window) for window in windows),
            "window": len(windows[0]),
        },
        figures=tuple(figures(outcomes)),
        warnings=warnings,
        rows=tuple(outcome.row() for outcome in outcomes),
    )


def figures(outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    """Every measure of every variant beside those of the references."""
    references = {outcome.name: outcome.row() for outcome in outcomes if outcome.name in (FLOAT32, BF16)}
    measures = (
        ("perplexity", "perplexity", "perplexity"),
        ("kl_to_float32", "KL divergence to float32", "nats"),
        ("kl_to_bf16", "KL divergence to bf16", "nats"),
        ("top_1_as_float32", "same first choice as float32", "%"),
        ("top_1_as_bf16", "same first choice as bf16", "%"),
        ("weights_mb", "weights", "MB"),
        ("states_mb_per_1000", "states of 1,000 tokens", "MB"),
        ("prefill", "prefill", "tokens/s"),
        ("decode", "decode", "tokens/s"),
    )
    for key, name, unit in measures:
        for outcome in outcomes:
            row = outcome.row()
            if outcome.name not in references and row[key] is not None:
                peers = {peer: values[key] for peer, values in references.items() if values[key] is not None}
                yield Figure(f"{name}, {outcome.name}", unit, row[key], peers)


@dataclass(frozen=True, slots=True)
class _Subject:
    settings: Settings
    model: PreparedModel
    asked: QuantizationEval
    windows: Sequence[Sequence[int]]
    references: dict[str, Reference]


def _measure(variant: Variant, subject: _Subject, notify: Notify) -> Outcome:
    runner, need, runs_on = _load(variant, subject, notify)
    references = subject.references
    notify(f"reading the text in {variant.name}")
    found = distances(
        runner,
        subject.windows,
        {name: reference for name, reference in references.items() if reference.is_whole},
        keep=references.get(variant.name),
    )
    notify(f"measuring the speed of {variant.name}")
    repeats, window = subject.asked.repeats, subject.windows[0]
    speeds = prefill_speed(runner, window, repeats), decode_speed(runner, window, repeats)
    return Outcome(variant.name, found, need, *speeds, runs_on)


def _load(variant: Variant, subject: _Subject, notify: Notify) -> tuple[Runner, MemoryNeed, str]:
    """The model alone, without the engine around it."""
    import torch

    from serving.engine.options import EngineOptions
    from serving.models.keep import KeepingSource
    from serving.models.memory import describe_memory, require_memory
    from serving.models.prepared import open_weights
    from serving.models.runner import choose_runner, make_runner

    settings, model = subject.settings, subject.model
    if settings.num_threads is not None:
        torch.set_num_threads(settings.num_threads)
    choice = choose_runner(model, variant.weight_format, settings.device, notify, use_kernels=settings.kernels)
    need = describe_memory(model, choice, variant.kv_format).formats[variant.weight_format]
    one_window = EngineOptions(kv_budget_bytes=need.kv_bytes_per_token * len(subject.windows[0]))
    require_memory(model, choice, variant.kv_format, one_window)
    source = open_weights(model, variant.weight_format)
    notify(f"loading the model in {variant.name}")
    runner = make_runner(choice, model, source, variant.kv_format, lambda _done, _total: None)
    if isinstance(source, KeepingSource):
        source.keep()
    return runner, need, "PyTorch" if choice.kernels is None else "kernels"


def _text(path: Path | None) -> str:
    files = [path] if path else sorted(file for file in (demo_folder() / "docs").iterdir() if file.suffix in _PLAIN)
    try:
        contents = [file.read_bytes() for file in files]
    except OSError as error:
        raise RagError(f"{path}: the text cannot be read ({error.strerror})") from error
    if not all(looks_like_text(content) for content in contents):
        raise RagError(f"{path}: not a file of text")
    return "\n\n".join(decode(content) for content in contents)


def _windows(token_ids: Sequence[int], size: int) -> list[Sequence[int]]:
    """Pieces of equal size; a last one too short to say anything is left out."""
    windows = [token_ids[start : start + size] for start in range(0, len(token_ids), size)]
    return windows if len(windows) == 1 or len(windows[-1]) >= _LEAST_TOKENS else windows[:-1]


def _check_known(what: str, names: Sequence[str], known: type[WeightFormat | KVFormat]) -> None:
    unknown = [name for name in names if name not in set(known)]
    if unknown or not names:
        asked = ", ".join(map(repr, unknown)) or "none"
        raise RagError(f"the {what} to compare: {asked}; there are {', '.join(known)}")
