import json
import shutil

import numpy as np
import pytest

from ingest.embed import Embedder
from ingest.errors import EmbedderError

LENGTHS = (1, 1, 2, 7, 7, 7, 31, 64, 130, 300)


@pytest.fixture(scope="module")
def tiny():
    """(ids, transformers' network, its state, our configuration) of a small random BERT."""
    import torch
    from transformers import BertConfig as TheirConfig
    from transformers import BertModel

    from ingest.embed.bert import BertConfig

    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
    network = BertModel(TheirConfig(vocab_size=500, initializer_range=0.2, **sizes), add_pooling_layer=False).eval()
    ids = [torch.randint(0, 500, (length,)).tolist() for length in LENGTHS]
    return ids, network, network.state_dict(), BertConfig(64, 3, 4, network.config.layer_norm_eps)


def expected(network, row):
    import torch

    with torch.inference_mode():
        return network(torch.tensor([row]), output_hidden_states=True).hidden_states


@pytest.mark.slow
def test_states_of_packed_texts_are_those_of_each_alone_in_transformers(tiny):
    from ingest.embed.bert import Bert

    ids, network, state, config = tiny
    shuffled = [ids[at] for at in (5, 9, 0, 3, 7, 1, 8, 2, 6, 4)]
    hidden = Bert(state, config).encode(shuffled)
    assert len(hidden) == len(shuffled)
    assert hidden.lengths == tuple(map(len, shuffled))
    for text, row in enumerate(shuffled):
        np.testing.assert_allclose(hidden.of(text), expected(network, row)[-1][0], atol=2e-5)


@pytest.mark.slow
def test_layers_can_be_run_in_two_parts_and_replaced_by_tuned_ones(tiny):
    from ingest.embed.bert import Bert, UnsupportedModelError

    ids, network, state, config = tiny
    bert = Bert(state, config)
    lower = bert.encode(ids, up_to_layer=2)
    np.testing.assert_allclose(lower.of(8), expected(network, ids[8])[2][0], atol=2e-5)
    whole = bert.encode(ids).states
    assert bert.encode_further(lower, from_layer=2).states.equal(whole)
    tuned = bert.tuned({"head." + name: weight * 1.1 for name, weight in state.items() if ".layer.2." in name})
    assert tuned.encode(ids, up_to_layer=2).states.equal(lower.states)
    assert not tuned.encode_further(lower, from_layer=2).states.allclose(whole, atol=0.01)
    with pytest.raises(UnsupportedModelError, match=r"lack 'encoder.layer.1.attention"):
        bert.tuned({"encoder.layer.1.output.dense.weight": state["encoder.layer.1.output.dense.weight"]})


@pytest.mark.slow
def test_weights_may_stand_below_a_prefix_and_in_fewer_bits(tiny):
    from ingest.embed.bert import Bert

    ids, _, state, config = tiny
    prefixed = {"bert." + name: weight for name, weight in state.items()}
    assert Bert(prefixed, config).encode(ids).states.equal(Bert(state, config).encode(ids).states)
    halved = {name: weight.half() for name, weight in prefixed.items()}
    rounded = {name: weight.float() for name, weight in halved.items()}
    assert Bert(halved, config).encode(ids).states.equal(Bert(rounded, config).encode(ids).states)


def save(folder, source, **changes):
    """A copy of a model's folder whose descriptions are changed."""
    shutil.copytree(source, folder)
    for name, change in changes.items():
        path = next(folder.rglob(f"{name}.json"), None) if name != "pooling" else folder / "1_Pooling" / "config.json"
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return folder


def test_pooling_is_the_models_own(embedder, tmp_path):
    from ingest.embed.packed import PackedModel

    def first_token(_):
        return {"word_embedding_dimension": 384, "pooling_mode": "cls"}

    model = PackedModel(save(tmp_path / "cls", embedder.folder, pooling=first_token))
    encoded = model.encode(model.tokenize(["The first token stands for all.", "Another."]), exact=True)
    first = encoded.hidden.of(1)[0].numpy()
    np.testing.assert_allclose(encoded.vectors[1], first / np.linalg.norm(first), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config", lambda config: {**config, "model_type": "xlm-roberta"}),
        ("config", lambda config: {**config, "position_embedding_type": "relative_key"}),
        ("config", lambda config: {**config, "hidden_act": "gelu_new"}),
        ("config", lambda config: {**config, "num_hidden_layers": 7}),
        ("pooling", lambda config: {**config, "pooling_mode_max_tokens": True}),
        ("pooling", lambda _: {"word_embedding_dimension": 384, "pooling_mode": ["mean", "max"]}),
        ("modules", lambda modules: [*modules, {"idx": 3, "path": "3_Dense", "type": "models.Dense"}]),
        ("modules", lambda modules: modules[:1]),
    ],
)
def test_models_of_other_kinds_are_left_to_sentence_transformers(embedder, tmp_path, name, change):
    from ingest.embed.bert import UnsupportedModelError
    from ingest.embed.packed import PackedModel

    folder = save(tmp_path / "other", embedder.folder, **{name: change})
    with pytest.raises(UnsupportedModelError):
        PackedModel(folder)


def test_a_model_without_safetensors_is_left_to_sentence_transformers(embedder, tmp_path):
    from ingest.embed.bert import UnsupportedModelError
    from ingest.embed.packed import PackedModel

    folder = save(tmp_path / "other", embedder.folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModelError, match=r"no model\.safetensors"):
        PackedModel(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "modules.json"])
def test_a_damaged_model_is_refused_in_one_line(embedder, tmp_path, name):
    folder = save(tmp_path / "damaged", embedder.folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(EmbedderError, match=r"^the embedding model in .*damaged cannot be loaded: .*") as raised:
        Embedder(folder).embed_query("a question")
    assert "\n" not in str(raised.value)


def test_states_of_tokens_come_with_the_vectors(embedder):
    texts = ["one text", "another, longer text", ""]
    vectors = embedder.embed(texts)
    for layer in (None, 4):
        for rows, encoded in embedder.iter_encoded(texts, layer=layer):
            np.testing.assert_allclose(encoded.vectors, vectors[rows], atol=1e-6)
            assert encoded.hidden.lengths == tuple(map(len, encoded.ids))
            assert all(row[0] == 101 and row[-1] == 102 for row in encoded.ids)
            assert encoded.hidden.states.shape[1] == 384
    question = embedder.encode_query("one text")
    np.testing.assert_allclose(question.vectors[0], embedder.embed_query("one text"), atol=1e-6)
    np.testing.assert_allclose(question.vectors[0] @ vectors[0], 1, atol=1e-3)


@pytest.mark.slow
def test_what_is_not_computed_here_sentence_transformers_embeds_but_gives_no_states(embedder, tmp_path):
    largest = {"word_embedding_dimension": 384, "pooling_mode": "max"}
    other = Embedder(save(tmp_path / "other", embedder.folder, pooling=lambda _: largest))
    states = embedder.encode_query("a question").hidden.of(0).numpy()
    expected = states.max(axis=0) / np.linalg.norm(states.max(axis=0))
    np.testing.assert_allclose(other.embed_query("a question"), expected, atol=1e-5)
    assert embedder.gives_states
    assert not other.gives_states
    with pytest.raises(EmbedderError, match="does not give the states of tokens"):
        other.encode_query("a question")
