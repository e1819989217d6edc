"""Models on disk: found or refused by name, read whole or refused in one line, prepared once and never half."""

from __future__ import annotations

import gc
import json
import multiprocessing
import random
import resource
import shutil
import signal
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from serving.engine.batch import logits_of
from serving.engine.config import ModelConfig
from serving.engine.quantize import WeightFormat
from serving.errors import ModelFormatError, ModelNotFoundError, ServingError
from serving.models import gguf as gguf_module
from serving.models import prepared
from serving.models.fetch import BUNDLED_FILE, BUNDLED_NAME
from serving.models.load import find_model, list_models, load_runtime, load_tokenizer, open_model, pull_model
from serving.models.tokenizer import Tokenizer
from serving.sampling import SamplingParams

FORMATS = list(WeightFormat)


def quiet(_: str) -> None:
    pass


def load(path: Path, models_folder: Path, weight_format: WeightFormat = WeightFormat.FLOAT32) -> Any:
    return load_runtime(open_model(str(path), models_folder, quiet), weight_format, notify=quiet, device="cpu")


def tokens_of(runtime: Any) -> list[int]:
    return runtime.engine.generate(list(range(10, 40)), SamplingParams(max_new_tokens=20))


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_weights(folder: Path, change: Any) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


def assert_one_line(error: BaseException) -> None:
    assert "\n" not in str(error).strip()
    assert len(str(error)) > 10


@pytest.fixture
def folder(tiny_engine: Any, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be damaged."""
    return Path(shutil.copytree(tiny_engine.folder, tmp_path / "model"))


@pytest.fixture(scope="module")
def gguf_bytes(tiny_engine: Any, gguf_writer: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    rounded = replace(tiny_engine, reference=deepcopy(tiny_engine.reference))  # others compare with what was saved
    return gguf_writer(rounded, tmp_path_factory.mktemp("gguf") / "tiny.gguf", kind="F16").read_bytes()


class TestNames:
    def test_a_path_is_found_and_made_absolute(self, folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)
        assert find_model("model", tmp_path / "models") == folder.resolve()
        assert pull_model("./model", tmp_path / "models", quiet) == folder.resolve()

    @pytest.mark.parametrize(
        "name", ["no/such/path", "nothing", "./missing.gguf", "../x/y", "~nobody-here/x", "x" * 5000, "a\0b"]
    )
    def test_a_name_that_is_nothing_is_refused_with_what_can_be_given(self, name: str, tmp_path: Path) -> None:
        assert find_model(name, tmp_path) is None
        with pytest.raises(ModelNotFoundError, match=f"a hub name such as Qwen/Qwen3-0.6B, or {BUNDLED_NAME}"):
            pull_model(name, tmp_path, quiet)

    def test_the_bundled_model_and_those_of_the_hub_are_found_in_the_models_folder(self, tmp_path: Path) -> None:
        assert find_model(BUNDLED_NAME, tmp_path) is None
        assert list_models(tmp_path / "missing") == []
        (tmp_path / BUNDLED_FILE).touch()
        (tmp_path / "Qwen--Qwen3-0.6B").mkdir()
        (tmp_path / "Qwen--Qwen3-0.6B" / "config.json").touch()
        (tmp_path / "other.gguf").touch()
        (tmp_path / "prepared").mkdir()
        assert find_model(BUNDLED_NAME, tmp_path) == tmp_path / BUNDLED_FILE
        assert find_model("Qwen/Qwen3-0.6B", tmp_path) == tmp_path / "Qwen--Qwen3-0.6B"
        assert dict(list_models(tmp_path)) == {
            BUNDLED_NAME: tmp_path / BUNDLED_FILE,
            "Qwen/Qwen3-0.6B": tmp_path / "Qwen--Qwen3-0.6B",
            str(tmp_path / "other.gguf"): tmp_path / "other.gguf",
        }


class TestDamagedFiles:
    @pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04 not this", b"GGUF", b"GGUF\x03\0\0\0", b"\0" * 4000])
    def test_a_file_that_is_no_gguf_is_refused(self, content: bytes, tmp_path: Path) -> None:
        file = tmp_path / "model.gguf"
        file.write_bytes(content)
        with pytest.raises(ModelFormatError, match=r"model\.gguf: (not a GGUF file|.*cut short or damaged)") as caught:
            open_model(str(file), tmp_path / "models", quiet)
        assert_one_line(caught.value)

    def test_a_gguf_cut_short_anywhere_is_refused(self, gguf_bytes: bytes, tmp_path: Path) -> None:
        generator = random.Random(1)
        cuts = [generator.randrange(1, len(gguf_bytes)) for _ in range(40)]
        cuts += [generator.randrange(1, 20_000) for _ in range(40)]
        cuts.append(len(gguf_bytes) - 1)
        for cut in cuts:
            file = tmp_path / f"cut-{cut}.gguf"
            file.write_bytes(gguf_bytes[:cut])
            started = time.monotonic()
            with pytest.raises(ModelFormatError) as caught:
                load(file, tmp_path / "models")
            assert_one_line(caught.value)
            assert file.name in str(caught.value)
            assert time.monotonic() - started < 10
        assert not list((tmp_path / "models" / "prepared").iterdir())

    def test_a_gguf_with_changed_bytes_is_read_or_refused_but_never_crashes(
        self, gguf_bytes: bytes, tmp_path: Path
    ) -> None:
        """Most changes are within the header, where they can ask for endless arrays and impossible sizes."""
        generator = random.Random(2)
        outcomes = {"read": 0, "refused": 0}
        for number in range(150):
            damaged = bytearray(gguf_bytes)
            for _ in range(generator.choice((1, 1, 4))):
                place = generator.randrange(4, 14_000 if number % 10 else len(damaged))
                damaged[place] = generator.choice((0, 1, 9, 0x7F, 0xFF, generator.randrange(256)))
            file = tmp_path / "damaged.gguf"
            file.write_bytes(damaged)
            started = time.monotonic()
            try:
                load(file, tmp_path / "models")
                outcomes["read"] += 1
            except ModelFormatError as error:
                assert_one_line(error)
                outcomes["refused"] += 1
            assert time.monotonic() - started < 10
        assert min(outcomes.values()) > 10, outcomes

    def test_an_array_of_the_header_that_never_ends_is_refused_at_once(
        self, gguf_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = b"tokenizer.ggml.token_type"
        place = gguf_bytes.index(key) + len(key) + 4 + 4  # value type, item type, then the number of items
        damaged = gguf_bytes[:place] + (2**62).to_bytes(8, "little") + gguf_bytes[place + 8 :]
        file = tmp_path / "endless.gguf"
        file.write_bytes(damaged)
        with pytest.raises(ModelFormatError, match="behind its end"):
            open_model(str(file), tmp_path / "models", quiet)
        monkeypatch.setattr(gguf_module, "_MAX_HEADER_VALUES", 5000)
        with pytest.raises(ModelFormatError, match="header does not end"):
            open_model(str(file), tmp_path / "models", quiet)

    @pytest.mark.parametrize("size", [0, 7, 100, 5000, -1])
    @pytest.mark.parametrize("weight_format", FORMATS)
    def test_safetensors_cut_short_are_refused(self, folder: Path, size: int, weight_format: WeightFormat) -> None:
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:size])
        with pytest.raises(ModelFormatError, match=r"model\.safetensors: not a whole safetensors file"):
            load(folder, folder.parent / "models", weight_format)

    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
    @pytest.mark.parametrize("content", ["", "{", "[1]", "\udcff"])
    def test_json_that_cannot_be_read_is_refused_by_name(self, folder: Path, name: str, content: str) -> None:
        (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(ModelFormatError, match=name):
            load(folder, folder.parent / "models")

    @pytest.mark.parametrize("content", ["", "{}", '{"model": {"type": "BPE"}}'])
    def test_a_tokenizer_that_cannot_be_read_is_refused(self, folder: Path, content: str) -> None:
        (folder / "tokenizer.json").write_text(content)
        with pytest.raises(ModelFormatError, match=r"tokenizer\.json: not a tokenizer"):
            load(folder, folder.parent / "models")

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
    def test_a_folder_that_lacks_a_file_is_refused(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        if name == "tokenizer.json":
            (folder / "tokenizer_config.json").unlink()
        with pytest.raises(ModelFormatError) as caught:
            load(folder, folder.parent / "models")
        assert str(folder) in str(caught.value)
        assert_one_line(caught.value)

    def test_a_missing_shard_is_named(self, tiny: Any) -> None:
        model = tiny("llama", max_shard_size="200KB")
        shard = sorted(model.folder.glob("*.safetensors"))[1]
        shard.unlink()
        with pytest.raises(ModelFormatError, match=f"{shard.name} is missing"):
            model.engine()

    @pytest.mark.parametrize("content", ["", "{}", '{"weight_map": [1]}', '{"weight_map": {"a": 5}}'])
    def test_a_damaged_index_is_refused(self, folder: Path, content: str) -> None:
        (folder / "model.safetensors.index.json").write_text(content)
        with pytest.raises(ModelFormatError, match="not a weight index"):
            load(folder, folder.parent / "models")


class TestWeightsThatDoNotFit:
    @pytest.mark.parametrize("weight_format", FORMATS)
    @pytest.mark.parametrize(
        "name",
        [
            "model.embed_tokens.weight",
            "model.layers.1.self_attn.k_proj.weight",
            "model.layers.0.input_layernorm.weight",
            "model.norm.weight",
            "lm_head.weight",
        ],
    )
    def test_missing_or_misshapen_weights_are_named(self, folder: Path, name: str, weight_format: WeightFormat) -> None:
        change_weights(folder, lambda weights: weights.update({name: weights[name][:-1].contiguous()}))
        with pytest.raises(ModelFormatError, match=rf"model: the weight {name} has shape .* the configuration says"):
            load(folder, folder.parent / "models", weight_format)
        change_weights(folder, lambda weights: weights.pop(name))
        with pytest.raises(ModelFormatError, match=f"lack the weight {name}"):
            load(folder, folder.parent / "models", weight_format)

    def test_weights_of_integers_are_refused(self, folder: Path) -> None:
        change_weights(folder, lambda weights: weights.update({"model.norm.weight": torch.ones(64, dtype=torch.int32)}))
        with pytest.raises(ModelFormatError, match=r"model.norm.weight is of type torch.int32"):
            load(folder, folder.parent / "models")

    def test_a_tokenizer_with_more_tokens_than_the_weights_know_is_refused(self, folder: Path) -> None:
        change_config(folder, vocab_size=290)

        def shrink(weights: dict[str, torch.Tensor]) -> None:
            for name in ("model.embed_tokens.weight", "lm_head.weight"):
                weights[name] = weights[name][:290].contiguous()

        change_weights(folder, shrink)
        with pytest.raises(ModelFormatError, match="300 tokens, the weights know 290"):
            load(folder, folder.parent / "models")

    def test_weights_with_rows_to_spare_are_fine(self, tiny: Any, prompt_ids: list[int]) -> None:
        model = tiny("llama", vocab_size=320)
        assert model.engine().generate(prompt_ids, SamplingParams(max_new_tokens=10)) == model.reference_greedy(
            prompt_ids, 10
        )

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"model_type": "gpt2"}, "'gpt2' is not supported; the engine runs llama, mistral, qwen2, qwen3"),
            ({"model_type": None}, "not supported"),
            ({"hidden_act": "gelu"}, "activation 'gelu' is not supported"),
            ({"quantization_config": {"quant_method": "awq"}}, "quantized by 'awq' are not supported"),
            ({"rope_parameters": {"rope_type": "yarn", "factor": 2}}, "RoPE scaling 'yarn' is not supported"),
            ({"rope_parameters": {"rope_type": "linear"}}, "factor"),
            ({"rope_parameters": {"rope_type": "linear", "factor": 0}}, "factor"),
            ({"rope_parameters": [1]}, "garbles"),
            ({"hidden_size": None}, "garbles"),
            ({"hidden_size": "wide"}, "garbles"),
            ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
            ({"num_hidden_layers": 4_000_000_000}, "num_hidden_layers is 4000000000"),
            ({"num_key_value_heads": 3}, "multiple of key/value heads"),
            ({"head_dim": 15}, "head_dim even"),
            ({"head_dim": -16}, "positive"),
            ({"max_position_embeddings": float("inf")}, "garbles"),
            ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
            ({"eos_token_id": "end"}, "garbles"),
            ({"model_type": "mistral", "sliding_window": 0}, "sliding_window must be positive"),
            (
                {"model_type": "qwen2", "sliding_window": 8, "layer_types": ["full_attention"]},
                "layer_types must name every layer",
            ),
            (
                {"model_type": "qwen2", "sliding_window": 8, "layer_types": ["linear_attention"] * 2},
                "linear_attention",
            ),
        ],
        ids=str,
    )
    def test_a_configuration_that_the_engine_cannot_run_says_what_it_is(
        self, folder: Path, changes: dict[str, Any], message: str
    ) -> None:
        (folder / "generation_config.json").unlink(missing_ok=True)
        change_config(folder, **changes)
        with pytest.raises(ModelFormatError, match=message) as caught:
            open_model(str(folder), folder.parent / "models", quiet)
        assert str(folder) in str(caught.value)

    def test_a_gguf_of_another_architecture_or_tokenizer_is_refused(
        self, tiny: Any, gguf_writer: Any, tmp_path: Path
    ) -> None:
        model = tiny("llama")
        for header, message in (
            ({"pre": "deepseek-v3"}, "pre-tokenizer 'deepseek-v3' is not supported"),
            ({"tokenizer_model": "rwkv"}, "tokenizer kind 'rwkv' is not supported"),
            ({"tokens": ["a", "b"]}, "GGUF header is damaged"),
        ):
            file = gguf_writer(model, tmp_path / "other.gguf", **header)
            with pytest.raises(ModelFormatError, match=message):
                open_model(str(file), tmp_path / "models", quiet)
        content = file.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0bloom", 1)
        file.write_bytes(content)
        with pytest.raises(ModelFormatError, match="'bloom' is not supported"):
            open_model(str(file), tmp_path / "models", quiet)

    def test_a_tensor_type_that_cannot_be_read_is_named(self, tiny: Any, gguf_writer: Any, tmp_path: Path) -> None:
        import gguf

        file = gguf_writer(tiny("llama"), tmp_path / "model.gguf", kind="Q8_0")
        reader = gguf.GGUFReader(file, "r+")
        tensor = next(tensor for tensor in reader.tensors if tensor.name == "blk.0.ffn_up.weight")
        tensor.field.parts[4][0] = gguf.GGMLQuantizationType.Q8_1  # of the same size, but never in files
        reader.data.flush()
        with pytest.raises(ModelFormatError, match=r"tensor type Q8_1 of blk\.0\.ffn_up\.weight|cut short or damaged"):
            load(file, tmp_path / "models")


class TestPreparedFolder:
    @pytest.fixture(params=["gguf", "folder"])
    def model(self, request: pytest.FixtureRequest, gguf_bytes: bytes, folder: Path, tmp_path: Path) -> Path:
        if request.param == "folder":
            return folder
        file = tmp_path / "tiny.gguf"
        file.write_bytes(gguf_bytes)
        return file

    @pytest.mark.parametrize("weight_format", FORMATS)
    def test_kept_weights_give_the_tokens_of_the_first_load(
        self, model: Path, tmp_path: Path, weight_format: WeightFormat
    ) -> None:
        first, again = (load(model, tmp_path / "models", weight_format) for _ in range(2))
        assert tokens_of(first) == tokens_of(again)
        ids = list(range(10, 40))
        logits = [logits_of(runtime.engine.model, ids) for runtime in (first, again)]
        assert torch.equal(*logits)

    @pytest.mark.parametrize("weight_format", [WeightFormat.INT8, WeightFormat.BF16])
    def test_the_second_load_does_not_read_the_gguf_again(
        self, gguf_bytes: bytes, tmp_path: Path, weight_format: WeightFormat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "tiny.gguf"
        file.write_bytes(gguf_bytes)
        said: list[str] = []
        tokens = tokens_of(load(file, tmp_path / "models", weight_format))

        def refuse(path: Path) -> None:
            raise AssertionError(f"{path} was read again")

        monkeypatch.setattr(gguf_module, "open_gguf", refuse)
        opened = open_model(str(file), tmp_path / "models", said.append)
        assert said == []
        assert tokens_of(load_runtime(opened, weight_format, notify=quiet, device="cpu")) == tokens

    @pytest.mark.parametrize("damage", [b"", b"junk" * 50, None], ids=["empty", "junk", "cut"])
    def test_damaged_kept_weights_are_made_anew(self, model: Path, tmp_path: Path, damage: bytes | None) -> None:
        tokens = tokens_of(load(model, tmp_path / "models", WeightFormat.INT8))
        kept = open_model(str(model), tmp_path / "models", quiet).weights_file(WeightFormat.INT8)
        whole = kept.read_bytes()
        kept.write_bytes(whole[:-100] if damage is None else damage)
        assert tokens_of(load(model, tmp_path / "models", WeightFormat.INT8)) == tokens
        assert kept.read_bytes() == whole

    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
    def test_damaged_headers_are_made_anew(self, model: Path, tmp_path: Path, name: str) -> None:
        opened = open_model(str(model), tmp_path / "models", quiet)
        (opened.folder / name).write_text('{"half": ')
        assert open_model(str(model), tmp_path / "models", quiet) == opened
        assert load(model, tmp_path / "models")

    def test_a_changed_model_is_prepared_apart(self, folder: Path, tmp_path: Path) -> None:
        opened = open_model(str(folder), tmp_path / "models", quiet)
        change_weights(folder, lambda weights: weights["model.layers.1.mlp.up_proj.weight"].mul_(2))
        changed = open_model(str(folder), tmp_path / "models", quiet)
        assert changed.fingerprint != opened.fingerprint
        assert changed.folder != opened.folder

    def test_a_change_in_the_middle_of_a_large_file_is_noticed(self, tmp_path: Path) -> None:
        file = tmp_path / "large.gguf"
        content = bytearray(random.Random(0).randbytes(8 << 20))
        file.write_bytes(content)
        before = prepared._fingerprint(file)
        content[3 << 20 : 5 << 20] = bytes(2 << 20)  # as when some layers were trained on
        file.write_bytes(content)
        assert prepared._fingerprint(file) != before

    @pytest.mark.parametrize("limit", [0, 5000, 60_000])
    def test_a_disk_that_is_full_costs_only_speed(
        self, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, limit: int
    ) -> None:
        opened = open_model(str(model), tmp_path / "models", quiet)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            runtime = load_runtime(opened, WeightFormat.INT8, notify=quiet, device="cpu")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "could not be kept" in caplog.text
        assert not opened.weights_file(WeightFormat.INT8).exists()
        tokens = tokens_of(runtime)
        del runtime
        gc.collect()
        assert not list((tmp_path / "models").rglob("*.partial"))
        assert tokens_of(load(model, tmp_path / "models", WeightFormat.INT8)) == tokens
        assert opened.weights_file(WeightFormat.INT8).exists()

    def test_a_load_that_fails_half_way_leaves_no_file(self, folder: Path, tmp_path: Path) -> None:
        change_weights(folder, lambda weights: weights.pop("lm_head.weight"))
        with pytest.raises(ModelFormatError):
            load(folder, tmp_path / "models", WeightFormat.INT8)
        gc.collect()
        assert not list((tmp_path / "models").rglob("int8.*"))

    def test_preparations_at_the_same_time_do_not_disturb_each_other(self, model: Path, tmp_path: Path) -> None:
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=open_model, args=(str(model), tmp_path / "models", quiet)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=60)
        assert [worker.exitcode for worker in workers] == [0] * 4
        assert len(list((tmp_path / "models" / "prepared").iterdir())) == 1

    def test_a_killed_preparation_leaves_nothing_that_is_used(
        self, model: Path, tmp_path: Path, share_kernels: Any
    ) -> None:
        context = multiprocessing.get_context("fork")
        generator = random.Random(3)
        for _ in range(6):
            worker = context.Process(target=_load_slowly, args=(model, tmp_path / "models"))
            worker.start()
            time.sleep(generator.uniform(0.005, 0.3))
            worker.kill()
            worker.join()
            assert worker.exitcode in (-signal.SIGKILL, 0)
        fresh = tokens_of(load(model, share_kernels(tmp_path / "other"), WeightFormat.INT8))
        assert tokens_of(load(model, tmp_path / "models", WeightFormat.INT8)) == fresh
        assert tokens_of(load(model, tmp_path / "models", WeightFormat.INT8)) == fresh

    def test_what_killed_loads_left_is_removed_in_time(self, model: Path, tmp_path: Path) -> None:
        import os

        opened = open_model(str(model), tmp_path / "models", quiet)
        old, new = opened.folder / "int8.1.partial", opened.folder / "int8.2.partial"
        for file in (old, new):
            file.touch()
        os.utime(old, (0, 0))
        load(model, tmp_path / "models", WeightFormat.INT8)
        assert not old.exists()
        assert new.exists()


def _load_slowly(model: Path, models_folder: Path) -> None:
    torch.set_num_threads(1)
    load(model, models_folder, WeightFormat.INT8)


class TestTokenizer:
    def test_both_twins_give_the_ids_of_the_file_itself(self, tiny_engine: Any) -> None:
        tokenizer, plain = Tokenizer(tiny_engine.folder / "tokenizer.json"), tiny_engine.tokenizer
        text = "what is the torque? <|im_end|> 日本語\n\n<|im_start|>"
        assert tokenizer.encode_template(text) == plain.encode(text).ids
        plain.encode_special_tokens = True
        try:
            assert tokenizer.encode(text) == plain.encode(text).ids
        finally:
            plain.encode_special_tokens = False
        assert tokenizer.encode(text) != tokenizer.encode_template(text)
        assert tokenizer.vocab_size == tokenizer.num_model_tokens == 300
        assert tokenizer.token_id("<|im_end|>") == 2
        assert tokenizer.token_id("<|nothing|>") is None

    def test_truncation_and_padding_of_the_file_are_not_applied(self, folder: Path) -> None:
        file = folder / "tokenizer.json"
        definition = json.loads(file.read_text())
        definition["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
        definition["padding"] = {
            "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>",
        }  # fmt: skip
        file.write_text(json.dumps(definition))
        tokenizer = Tokenizer(file)
        text = "the valve is in the pump and the pump is in the sun"
        for encode in (tokenizer.encode, tokenizer.encode_template):
            assert tokenizer.decode(encode(text)) == text

    def test_added_tokens_beyond_the_vocabulary_keep_their_ids(self, folder: Path) -> None:
        from tokenizers import AddedToken
        from tokenizers import Tokenizer as FastTokenizer

        file = folder / "tokenizer.json"
        original = FastTokenizer.from_file(str(file))
        original.add_tokens([AddedToken("<think>", normalized=False)])
        original.add_special_tokens([AddedToken("<pad>", normalized=False), AddedToken("<tool>", normalized=False)])
        original.save(str(file))
        tokenizer = Tokenizer(file)
        text = "<think>the pump</think><pad><tool>"
        assert tokenizer.encode_template(text) == original.encode(text).ids
        assert {300, 301, 302} <= set(tokenizer.encode_template(text))
        assert not {300, 301, 302} & set(tokenizer.encode(text)), (
            "what looks like a control token is text in a document"
        )

    @pytest.mark.parametrize(
        "text", ["", "the valve", " two  spaces\n\n", "naïve 日本語 🎉 e\u0301 ok", "12345 <|im_end|>"]
    )
    def test_offsets_name_where_each_token_begins(self, tiny_engine: Any, text: str) -> None:
        tokenizer = Tokenizer(tiny_engine.folder / "tokenizer.json")
        offsets = tokenizer.token_offsets(text)
        assert len(offsets) == len(tokenizer.encode(text))
        assert offsets == sorted(offsets)
        assert offsets == [start for start, _ in tokenizer._plain.encode(text).offsets]


def test_every_error_of_this_package_is_a_serving_error() -> None:
    assert issubclass(ModelFormatError, ServingError)
    assert issubclass(ModelNotFoundError, ServingError)


def test_the_tokenizer_loads_without_the_weights(folder: Path, tmp_path: Path) -> None:
    opened = open_model(str(folder), tmp_path / "models", quiet)
    (folder / "model.safetensors").unlink()
    assert load_tokenizer(opened).encode("the pump")


def test_the_size_of_a_model_is_told_from_its_configuration(tiny_engine: Any) -> None:
    config = ModelConfig.from_hf(json.loads((tiny_engine.folder / "config.json").read_text()))
    matrices = [weight for weight in tiny_engine.reference.parameters() if weight.ndim == 2]
    assert config.num_parameters == sum(weight.numel() for weight in matrices)
    assert config.kv_bytes_per_token() == 2 * 2 * 2 * 16 * 2
