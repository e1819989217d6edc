"""`rag bench embed`: passages and questions to vectors, beside sentence-transformers and what the machine allows."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

import numpy as np

from rag.bench.machine import measure_machine
from rag.bench.plan import check_known
from rag.bench.report import Figure, Report
from rag.bench.timing import interleave
from rag.demo.run import demo_folder
from rag.errors import RagError
from serving.engine.quantize import WeightFormat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray

    from ingest.embed import Embedder
    from rag.bench.machine import Machine
    from rag.bench.timing import Timing
    from rag.config import Settings

    Notify = Callable[[str], None]

PEER = "sentence-transformers"
_OURS = "ours"
_WORDS_OF_PASSAGE = (16, 200)  # the shortest and the longest
_WORDS_OF_QUESTION = (6, 16)
_TEXT_FILES = {".csv", ".html", ".md", ".rst", ".txt"}


@dataclass(frozen=True, slots=True)
class EmbedBench:
    """What to measure.

    Attributes:
        text: a file, or a folder of text files, that passages are cut from; None for the demo's documents.
        passages: how many are embedded in bulk.
        questions: how many are embedded one by one; the first is not counted.
        repeats: runs of the bulk.
        peers: `sentence-transformers`, or nobody.

    Raises:
        RagError: a peer is unknown, or there is nothing to measure.
    """

    text: Path | None = None
    passages: int = 200
    questions: int = 50
    repeats: int = 3
    peers: tuple[str, ...] = (PEER,)

    def __post_init__(self) -> None:
        if min(self.passages, self.questions - 1, self.repeats) < 1:
            raise RagError("embedding is measured with at least 1 passage, 2 questions and 1 run")
        if self.peers:
            check_known("the peers", self.peers, (PEER,))


def bench_embed(settings: Settings, bench: EmbedBench, notify: Notify) -> Report:
    """Measures our two formats and the peer, taking turns within each repeat.

    Raises:
        RagError: there is no text to cut passages from.
    """
    import torch

    from ingest.embed import Embedder

    embedder = Embedder(settings.embedding_model, device="cpu")
    passages, questions = _cut(_words(bench.text), bench)
    notify("measuring the machine")
    machine = measure_machine(torch.device("cpu"), _formats())
    notify("loading the embedding model")
    embedder.load()
    peer = _Peer(embedder) if bench.peers else None
    work = _Work.of(embedder, passages)
    notify(f"embedding {len(passages)} passages, {work.num_tokens:,} tokens")
    figures = _bulk(embedder, peer, passages, work, machine, bench.repeats)
    notify(f"embedding {len(questions)} questions")
    figures += _questions(embedder, peer, questions)
    return Report(
        command="bench embed",
        machine=machine,
        settings={
            "model": embedder.identity.name,
            "text": str(bench.text or "demo"),
            "passages": len(passages),
            "tokens": work.num_tokens,
            "questions": len(questions),
            "repeats": bench.repeats,
        },
        figures=tuple(figures),
        warnings=machine.warnings,
    )


def _formats() -> tuple[WeightFormat, ...]:
    """In which passages are embedded; the first is what ingestion uses."""
    from ingest.embed.linear import cpu_computes_in_bfloat16

    return (WeightFormat.BF16, WeightFormat.FLOAT32) if cpu_computes_in_bfloat16() else (WeightFormat.FLOAT32,)


class _Peer:
    """sentence-transformers as it comes: float32, batches of 32, padded; but cutting no text before ours does."""

    def __init__(self, embedder: Embedder) -> None:
        from sentence_transformers import SentenceTransformer

        from ingest.embed.padded import quiet

        with quiet():
            self._network = SentenceTransformer(str(embedder.folder), device="cpu", local_files_only=True)
        self._network.max_seq_length = embedder.max_tokens

    def embed(self, texts: list[str]) -> NDArray[float32]:
        vectors: NDArray[float32] = self._network.encode(texts, normalize_embeddings=True)
        return vectors


@dataclass(frozen=True, slots=True)
class _Work:
    """What the passages ask for.

    Attributes:
        operations: None for a network that is not computed by us.
    """

    num_tokens: int
    operations: int | None

    @classmethod
    def of(cls, embedder: Embedder, passages: list[str]) -> _Work:
        lengths = embedder.count_tokens(passages)
        return cls(sum(lengths), embedder.operations(lengths))


def _bulk(
    embedder: Embedder, peer: _Peer | None, passages: list[str], work: _Work, machine: Machine, repeats: int
) -> list[Figure]:
    made: dict[str, NDArray[float32]] = {}

    def run(name: str) -> None:
        if name == PEER and peer is not None:
            made[name] = peer.embed(passages)
        else:
            made[name] = embedder.embed(passages, exact=name == WeightFormat.FLOAT32)

    formats = [str(weight_format) for weight_format in _formats()]
    names = [*formats, *([PEER] if peer else [])]
    timings = dict(zip(names, interleave(names, repeats, run), strict=True))
    reference = made[PEER if peer else str(WeightFormat.FLOAT32)]
    figures = [
        figure
        for name in formats
        for figure in _rates(name, timings, work, len(passages), (machine.gflop_per_s or {}).get(name))
    ]
    return figures + [_likeness(name, made[name], reference) for name in formats]


def _rates(
    name: str, timings: dict[str, Timing], work: _Work, num_passages: int, gflop_per_s: float | None
) -> list[Figure]:
    """Passages and tokens a second, and the most that the machine's products of that format allow."""
    timing = timings[name]
    least_s = work.operations / 1e9 / gflop_per_s if work.operations and gflop_per_s else None
    note = f"spread {timing.spread:.0%}"
    return [
        Figure(
            f"bulk, {name}",
            unit,
            amount / timing.median_s,
            {PEER: amount / timings[PEER].median_s} if PEER in timings else {},
            limit=amount / least_s if least_s else None,
            note=note,
        )
        for unit, amount in (("passages/s", num_passages), ("tokens/s", work.num_tokens))
    ]


def _likeness(name: str, vectors: NDArray[float32], reference: NDArray[float32]) -> Figure:
    cosines = (vectors * reference).sum(axis=1)
    mean, least = float(cosines.mean()), float(cosines.min())
    return Figure(f"likeness to float32, {name}", "mean cosine", mean, note=f"mean {mean:.6f}, least {least:.6f}")


def _questions(embedder: Embedder, peer: _Peer | None, questions: list[str]) -> list[Figure]:
    """Time to the vector of one question, the questions coming one by one."""
    asked = {name: iter(questions) for name in (_OURS, *([PEER] if peer else []))}

    def embed(name: str) -> None:
        question = next(asked[name])
        if name == PEER and peer is not None:
            peer.embed([question])
        else:
            embedder.embed_query(question)

    timings = dict(zip(asked, interleave(list(asked), len(questions) - 1, embed), strict=True))
    return [
        Figure(
            f"question, p{percent}",
            "ms",
            float(np.percentile(timings[_OURS].seconds, percent)) * 1e3,
            {PEER: float(np.percentile(timings[PEER].seconds, percent)) * 1e3} if peer else {},
            note="float32",
        )
        for percent in (50, 95)
    ]


def _words(text: Path | None) -> list[str]:
    """All words, file behind file; markup of HTML left out."""
    folder = text or demo_folder() / "docs"
    files = [folder] if folder.is_file() else sorted(file for file in folder.rglob("*") if file.suffix in _TEXT_FILES)
    words: list[str] = []
    for file in files:
        try:
            words += re.sub(r"<[^>]*>", " ", file.read_text(encoding="utf-8", errors="replace")).split()
        except OSError as error:
            raise RagError(f"{file}: cannot be read ({error.strerror})") from error
    if not words:
        raise RagError(f"{folder}: no text to cut passages from; give a file, or a folder with .txt or .md files")
    return words


def _cut(words: list[str], bench: EmbedBench) -> tuple[list[str], list[str]]:
    """Passages and questions of various lengths, the words beginning anew where they run out."""
    drawn = random.Random(0)  # noqa: S311 - to be drawn again
    endless = cycle(words)

    def pieces(count: int, lengths: tuple[int, int]) -> list[str]:
        return [" ".join(islice(endless, drawn.randint(*lengths))) for _ in range(count)]

    return pieces(bench.passages, _WORDS_OF_PASSAGE), pieces(bench.questions, _WORDS_OF_QUESTION)
