import threading
from pathlib import Path

import numpy as np
import pytest

from ingest.embed import Embedder
from ingest.errors import EmbedderError, IngestCancelledError

WORDS = Path(__file__).read_text().split()
TEXTS = ["A cat sleeps on the mat.", "Interest rates rose again.", "word " * 400, "x", "", "Ein Hund bellt. " * 30]
TEXTS += [" ".join(WORDS[start : start + length]) for start, length in enumerate((1, 2, 3, 5, 8, 9, 40, 40, 90, 900))]


@pytest.fixture(scope="module")
def reference(embedder):
    """What sentence-transformers makes of the texts in float32."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(embedder.folder), device="cpu")
    model.max_seq_length = 512
    return model.encode(TEXTS, normalize_embeddings=True)


def test_the_identity_is_known_without_loading_the_model(embedder):
    fresh = Embedder()
    assert fresh.identity.dimension == 384
    assert fresh.identity.name == "all-MiniLM-L6-v2"
    assert len(fresh.identity.fingerprint) == 64
    assert fresh._loaded is None
    assert fresh.identity == embedder.identity


def test_a_changed_file_changes_the_fingerprint(embedder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(embedder.folder, copy)
    assert Embedder(copy).identity.fingerprint == embedder.identity.fingerprint
    with (copy / "config.json").open("a") as file:
        file.write(" ")
    assert Embedder(copy).identity.fingerprint != embedder.identity.fingerprint


def test_a_model_that_is_not_here_is_refused_with_the_remedy():
    with pytest.raises(EmbedderError, match="no embedding model 'nobody/nothing' on this machine"):
        _ = Embedder("nobody/nothing").identity


@pytest.mark.parametrize("packed", [True, False])
def test_batches_hold_every_text_once_longest_first_within_the_limit(embedder, packed):
    lengths = [5, 8192, 300, 300, 1, 9000, 512, 512, *[100] * 80]
    batches = list(Embedder(packed=packed)._model().batches(lengths))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    sizes = [[lengths[row] for row in batch] for batch in batches]
    limit, size = (2048, sum) if packed else (8192, lambda batch: len(batch) * max(batch))
    assert all(size(batch) <= limit for batch in sizes if len(batch) > 1)
    assert [length for batch in sizes for length in batch] == sorted(lengths, reverse=True)
    assert len(batches) < 12


@pytest.mark.slow
@pytest.mark.parametrize("packed", [True, False])
def test_vectors_are_those_of_sentence_transformers_in_float32(reference, packed):
    embedder = Embedder(packed=packed)
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = (vectors * reference).sum(axis=1)
    assert cosines.mean() > 0.999
    assert cosines.min() > 0.998
    for text, row in zip(TEXTS, reference, strict=True):
        np.testing.assert_allclose(embedder.embed_query(text), row, atol=1e-5)


@pytest.mark.slow
def test_texts_embedded_together_in_float32_are_as_if_alone(reference):
    model = Embedder()._model()
    np.testing.assert_allclose(model.vectors(model.tokenize(TEXTS), exact=True), reference, atol=1e-5)


@pytest.mark.slow
def test_a_text_of_more_than_256_tokens_is_embedded_whole(embedder):
    start = "The handbook describes the instrument. " * 50
    assert abs(embedder.embed_query(start) @ embedder.embed_query(start + "Penguins swim in cold seas. " * 10)) < 0.999


@pytest.mark.slow
def test_progress_is_told_and_cancelling_stops_between_batches(embedder):
    seen = []
    texts = ["a sentence about something " * 60] * 60
    embedder.embed(texts, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (60, 60)
    assert len(seen) > 1
    cancel = threading.Event()
    batches = embedder.iter_batches(texts, cancel)
    next(batches)
    cancel.set()
    with pytest.raises(IngestCancelledError):
        next(batches)


@pytest.mark.slow
def test_no_texts_give_no_vectors(embedder):
    assert embedder.embed([]).shape == (0, 384)


@pytest.mark.slow
def test_threads_share_an_embedder(embedder):
    expected = embedder.embed_query("shared by threads")
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(embedder.embed_query("shared by threads"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_allclose(result, expected, atol=1e-6)
