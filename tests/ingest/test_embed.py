import threading

import numpy as np
import pytest

from ingest.embed import Embedder, _batches
from ingest.errors import EmbedderError, IngestCancelledError

TEXTS = ["A cat sleeps on the mat.", "Interest rates rose again.", "word " * 400, "x", "", "Ein Hund bellt. " * 30]


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


def test_batches_hold_every_text_once_longest_first_within_the_limit():
    lengths = [5, 8192, 300, 300, 1, 9000, 512, 512]
    batches = list(_batches(lengths))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[row] for row in batch) <= 8192 for batch in batches if len(batch) > 1)
    assert lengths[batches[0][0]] == 9000


@pytest.mark.slow
def test_vectors_are_those_of_sentence_transformers_in_float32(embedder):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(embedder.folder), device="cpu")
    model.max_seq_length = 512
    reference = model.encode(TEXTS, normalize_embeddings=True)
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors * reference).sum(axis=1).min() > 0.999
    for text, row in zip(TEXTS, reference, strict=True):
        np.testing.assert_allclose(embedder.embed_query(text), row, atol=1e-5)


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
