"""From test collections, or a person's own documents, to a head that is kept if it helps."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ingest.embed.head import read_head, write_head
from ingest.embed.late import LateEncoder, words_of
from rag.errors import RerankerError
from rag.eval.retrieval.corpus import extracted, opened_corpus
from rag.eval.retrieval.evidence import EntryText
from rag.eval.retrieval.judged import Judge
from rag.eval.retrieval.read import read_dataset
from rag.rerank.load import load_late
from rag.rerank.tune.cloze import cloze
from rag.rerank.tune.material import material
from rag.rerank.tune.measure import compare
from rag.rerank.tune.network import HeadNetwork
from rag.rerank.tune.train import train

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rag.app import Rag
    from rag.eval.retrieval.dataset import Dataset
    from rag.rerank.tune.material import Material
    from rag.rerank.tune.measure import Comparison

    Notify = Callable[[str], None]

_TUNED_LAYERS = 2
_MIN_HELD_OUT = 5
_SAID_EVERY = 10  # steps


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """What to learn from, and how long.

    Attributes:
        data: test collections, see `read_dataset`.
        own: a collection whose documents give questions of their own; None for none.
        own_passages: at most so many of them.
        num_steps: of training; each takes about a second on two cores.
        fresh: begin with the embedding model's own layers, and not with the head in use.
        seed: another one draws other questions and passages.
    """

    data: tuple[Path, ...] = ()
    own: str | None = None
    own_passages: int = 1500
    num_steps: int = 260
    fresh: bool = False
    seed: int = 0


def tune(rag: Rag, settings: TuneSettings, notify: Notify) -> Comparison:
    """Trains a head, and keeps it in the home folder if held-out questions are answered better with it.

    Nothing changes before the end, so that it can be stopped at any time.

    Raises:
        RerankerError: there is too little to learn from.
        RagError: a test collection cannot be read.
        EmbedderError: the embedding model does not give its states.
    """
    datasets = [read_dataset(path) for path in settings.data]
    if settings.own is not None:
        datasets.append(_own(rag, settings.own, settings.own_passages, settings.seed))
    before = load_late(rag.settings.model_copy(update={"rerank": "auto"}), rag.embedder)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rag-tune-")))
        materials = [
            _material(rag, dataset, folder / str(number), stack, notify) for number, dataset in enumerate(datasets)
        ]
        if sum(len(one.held_out) for one in materials) < _MIN_HELD_OUT or not all(one.training for one in materials):
            raise RerankerError(
                "there is too little to learn from: more documents, or test collections by --data, help"
            )
        file = folder / "head.safetensors"
        _train(rag, materials, settings, before, file, notify)
        after = LateEncoder(rag.embedder, read_head(file))
        notify("comparing on questions that were held out")
        found = compare(materials, before, after)
        keep_if_it_helps(found, file, rag.settings.head_file)
    return found


def keep_if_it_helps(found: Comparison, file: Path, kept: Path) -> None:
    """Puts a head where it is used from then on, whole or not at all, if the comparison speaks for it."""
    if not found.helps:
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(".unfinished")
    unfinished.write_bytes(file.read_bytes())
    unfinished.replace(kept)


def _own(rag: Rag, collection: str, limit: int, seed: int) -> Dataset:
    chunks = (chunk for document in rag.index.documents(collection) for chunk in rag.index.chunks(document))
    dataset = cloze(chunks, limit, seed)
    if not dataset.entries:
        raise RerankerError(f"collection {collection!r} has no passages that a question can be taken out of")
    return dataset


def _material(rag: Rag, dataset: Dataset, folder: Path, stack: ExitStack, notify: Notify) -> Material:
    plain = rag.settings.model_copy(update={"rerank": "off"})
    apart = stack.enter_context(opened_corpus(dataset, plain, folder, notify))
    texts = {entry.id: EntryText(entry, extracted(entry).text) for entry in dataset.entries}
    chunks = {one.path: apart.index.chunks(one) for one in apart.index.documents()} if dataset.by_chunk else {}
    return material(apart, dataset, Judge(dataset, chunks, texts))


def _train(
    rag: Rag,
    materials: Sequence[Material],
    settings: TuneSettings,
    before: LateEncoder | None,
    file: Path,
    notify: Notify,
) -> None:
    embedder = rag.embedder
    layer = embedder.network(exact=True).config.num_layers - _TUNED_LAYERS
    for one in materials:
        one.compute_states(layer, lambda done, total: notify(f"passages: {done} of {total}"))
    network = HeadNetwork(embedder.folder, layer)
    if settings.fresh or before is None or before.layer != layer:
        texts = [text for one in materials for text in one.texts.values()]
        sample = texts[:: max(1, len(texts) // 300)]
        import torch

        network.begin_with(torch.cat([encoded.hidden.states for _, encoded in embedder.iter_encoded(sample)]))
    else:
        network.begin_with_head(before.head)
    losses: list[float] = []
    for loss in train(network, materials, words_of(embedder.folder), settings.num_steps, settings.seed):
        losses.append(loss)
        if not len(losses) % _SAID_EVERY:
            mean = np.mean(losses[-_SAID_EVERY:])
            notify(f"training: step {len(losses)} of {settings.num_steps}, loss {mean:.3f}")
    write_head(file, network.tensors(), embedder=embedder.identity.fingerprint, layer=layer)
