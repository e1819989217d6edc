"""Token vectors for late interaction: what is kept is what was computed, within what 4 bits can hold."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import Index
from ingest import ingest
from ingest.embed.head import BUNDLED_HEAD, read_head, write_head
from ingest.embed.late import LateEncoder, embedded, fill_in, pack, unpack
from ingest.errors import EmbedderError

TEXTS = [
    "The keeper of the lighthouse, Ingrid Solheim, services the lamp every nine weeks.",
    "Bread is baked in the village every morning, and sold until it is gone.",
]


@pytest.fixture(scope="module")
def late(embedder):
    return LateEncoder(embedder, read_head(BUNDLED_HEAD))


@given(st.integers(1, 40), st.integers(0, 1000))
def test_four_bits_keep_the_direction_of_every_vector(num_tokens, seed):
    vectors = np.random.default_rng(seed).normal(size=(num_tokens, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    data = pack(vectors)
    assert len(data) == num_tokens * 64
    kept = unpack(data, 128)
    assert np.allclose(np.linalg.norm(kept, axis=1), 1, atol=1e-5)
    assert ((vectors * kept).sum(axis=1) > 0.98).all()


def test_one_pass_gives_the_vectors_and_token_vectors_that_two_give(embedder, late):
    batches = embedded(TEXTS, embedder, late)
    made = {row: tokens for rows, _, batch in batches for row, tokens in zip(rows, batch, strict=True)}
    vectors = np.concatenate([vectors for _, vectors, _ in embedded(TEXTS, embedder, late)])
    assert [made[0], made[1]] == late.passages(TEXTS)
    assert np.allclose(np.sort(vectors, axis=0), np.sort(embedder.embed(TEXTS), axis=0), atol=1e-3)


def test_a_question_meets_its_passage_in_more_tokens_than_another(late):
    question = late.question("Who services the lamp?")
    assert question.weights.sum() == pytest.approx(1)
    assert len(question.vectors) == 4  # the question mark has none
    keeper, bread = (unpack(data, late.dimension) for data in late.passages(TEXTS))
    met = [(question.vectors @ tokens.T).max(axis=1) for tokens in (keeper, bread)]
    assert met[0].mean() > met[1].mean() + 0.2


def test_a_text_of_punctuation_alone_has_vectors_all_the_same(late):
    assert [len(data) > 0 for data in late.passages(["...", "-"])] == [True, True]


def test_a_head_of_another_model_is_refused(embedder):
    with pytest.raises(EmbedderError, match="rag tune reranker"):
        LateEncoder(embedder, replace(read_head(BUNDLED_HEAD), embedder="another"))


def test_a_damaged_head_is_refused_in_one_line(tmp_path):
    path = tmp_path / "head.safetensors"
    path.write_bytes(BUNDLED_HEAD.read_bytes()[:1000])
    with pytest.raises(EmbedderError, match="is no late-interaction head") as caught:
        read_head(path)
    assert "\n" not in str(caught.value)


def test_a_head_that_is_written_and_read_is_the_same_and_another_is_another(tmp_path):
    import torch

    tensors = {"projection": torch.eye(4), "weight": torch.ones(4), "bias": torch.zeros(())}
    write_head(tmp_path / "a", tensors, embedder="x", layer=6)
    write_head(tmp_path / "b", {**tensors, "bias": torch.ones(())}, embedder="x", layer=6)
    first, second = read_head(tmp_path / "a"), read_head(tmp_path / "b")
    assert (first.layer, first.bias, second.bias) == (6, 0.0, 1.0)
    assert first.identity != second.identity
    assert first.identity == f"late-{hashlib.sha256((tmp_path / 'a').read_bytes()).hexdigest()[:32]}"


def test_ingest_keeps_token_vectors_fills_in_what_older_documents_lack_and_deletion_takes_them(
    embedder, late, token_offsets, write, sandbox, tmp_path
):
    with Index.open(tmp_path / "index", embedder.identity) as index:
        run = {"collection": "c", "index": index, "embedder": embedder, "token_offsets": token_offsets}
        list(ingest([write("old.txt", TEXTS[0])], sandbox=sandbox, **run))
        assert len(index.without_token_vectors("c", late.identity, 9)) == 1
        list(ingest([write("new.txt", TEXTS[1])], sandbox=sandbox, late=lambda: late, **run))
        assert index.without_token_vectors("c", late.identity, 9) == []
        kept = {hit.document.name: hit.chunk_id for hit in index.search_text("c", "lamp bread", 9)}
        found = index.token_vectors(list(kept.values()))
        for name, data in zip(("old.txt", "new.txt"), late.passages(TEXTS), strict=True):
            alike = unpack(found[kept[name]], late.dimension) * unpack(data, late.dimension)
            assert (alike.sum(axis=1) > 0.97).all()
        assert fill_in(index, late, "c") == 0
        index.delete(index.documents("c")[0].id)
        assert list(index.token_vectors(list(kept.values()))) == [kept["new.txt"]]
        assert index.verify() == []
