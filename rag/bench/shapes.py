"""Models of known sizes with random weights, made on this machine: speed does not depend on what was learned."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.bench.gguf_files import made_once, num_tensor_bytes
from rag.demo.run import demo_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from gguf import GGUFWriter
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Notify = Callable[[str], None]

_LAYOUT = 1  # changes whenever the same shape would give another file
_STANDARD_DEVIATION = 0.02
_TRAINED_TOKENS = 2000
_SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model of Qwen2's architecture: biases on queries, keys and values, embeddings tied to the head."""

    name: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    vocab_size: int = 151_936
    max_position: int = 32_768
    rope_theta: float = 1e6

    @property
    def head_dim(self) -> int:
        """Size of a query's or key's head."""
        return self.hidden_size // self.num_heads


# From the config.json of Qwen/Qwen2.5-0.5B and Qwen/Qwen2.5-1.5B.
SHAPES = {
    shape.name: shape
    for shape in (
        Shape("qwen2.5-0.5b", 896, 4864, 24, 14, 2),
        Shape("qwen2.5-1.5b", 1536, 8960, 28, 12, 2),
    )
}


def shape_file(shape: Shape, models_folder: Path, notify: Notify) -> Path:
    """A GGUF file of the shape, every matrix in Q4_0; made if it is not there yet."""
    name = f"{shape.name}-random-{_LAYOUT}.Q4_0.gguf"
    return made_once(models_folder, name, lambda file: _write(shape, file, notify))


def _write(shape: Shape, file: Path, notify: Notify) -> None:
    """Tensor by tensor, so that one alone is in memory."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    writer = GGUFWriter(file, "qwen2")
    _add_sizes(writer, shape)
    _add_tokenizer(writer, shape.vocab_size)
    tensors = list(_tensor_shapes(shape))
    kinds = [GGMLQuantizationType.Q4_0 if len(sizes) > 1 else GGMLQuantizationType.F32 for _, sizes in tensors]
    for (name, sizes), kind in zip(tensors, kinds, strict=True):
        writer.add_tensor_info(name, sizes, np.dtype(np.float32), num_tensor_bytes(sizes, kind), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, ((name, sizes), kind) in enumerate(zip(tensors, kinds, strict=True)):
        notify(f"making random weights in the shape of {shape.name}, {number} of {len(tensors)}")
        writer.write_tensor_data(quantize(_values(name, sizes, number), kind))
    writer.close()


def _add_sizes(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_name(f"{shape.name}, random weights")
    writer.add_context_length(shape.max_position)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_layers)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(1e-6)


def _add_tokenizer(writer: GGUFWriter, vocab_size: int) -> None:
    """Byte-level BPE trained on the demo's documents, filled up to the vocabulary with tokens that never come up."""
    from gguf import TokenType

    trained = _trained_tokenizer(min(_TRAINED_TOKENS, vocab_size - len(_SPECIAL_TOKENS)))
    tokens = [token for token, _ in sorted(trained.get_vocab().items(), key=lambda entry: entry[1])]
    num_fillers = vocab_size - len(tokens) - len(_SPECIAL_TOKENS)
    tokens += [f"filler{number}" for number in range(num_fillers)]
    types = [TokenType.NORMAL] * len(tokens) + [TokenType.CONTROL] * len(_SPECIAL_TOKENS)
    tokens += _SPECIAL_TOKENS
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(_merges(trained))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(_TEMPLATE)


def _trained_tokenizer(vocab_size: int) -> Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=sorted(alphabet), show_progress=False)
    tokenizer.train_from_iterator(
        (file.read_text(encoding="utf-8") for file in sorted((demo_folder() / "docs").glob("*.md"))), trainer
    )
    return tokenizer


def _merges(tokenizer: Tokenizer) -> list[str]:
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]


def _tensor_shapes(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names in GGUF, and [rows, columns] or [size]."""
    hidden, inner, keys = shape.hidden_size, shape.intermediate_size, shape.num_kv_heads * shape.head_dim
    yield "token_embd.weight", (shape.vocab_size, hidden)
    yield "output_norm.weight", (hidden,)
    for layer in range(shape.num_layers):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", (hidden,)
        for part, rows in (("q", hidden), ("k", keys), ("v", keys)):
            yield f"{block}attn_{part}.weight", (rows, hidden)
            yield f"{block}attn_{part}.bias", (rows,)
        yield block + "attn_output.weight", (hidden, hidden)
        yield block + "ffn_norm.weight", (hidden,)
        yield block + "ffn_gate.weight", (inner, hidden)
        yield block + "ffn_up.weight", (inner, hidden)
        yield block + "ffn_down.weight", (hidden, inner)


def _values(name: str, sizes: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    import numpy as np

    if name.endswith("norm.weight"):
        return np.ones(sizes, np.float32)
    drawn = np.random.default_rng(seed).standard_normal(sizes, np.float32)
    drawn *= np.float32(_STANDARD_DEVIATION)
    return drawn
