"""The shape of a decoder-only model of the Llama family, read from a Hugging Face `config.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serving.errors import ModelFormatError

SUPPORTED_ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")
_MAX_LAYERS = 1000  # a damaged header must not make lists of billions


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """How rotary frequencies are stretched beyond the context a model was trained on.

    Attributes:
        kind: `linear` divides every frequency by `factor`; `llama3` (Llama 3.1) divides the low ones, keeps
            the high ones and blends between.
    """

    kind: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 8192


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """All that the engine must know of a model besides its weights.

    Attributes:
        windows: per layer, how many last positions a token may attend to; None for all of them.
        rope_factors: divisors of the rotary frequencies, [head_dim / 2], where a file brings its own.
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_position: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    tie_embeddings: bool
    qkv_bias: bool
    o_bias: bool
    mlp_bias: bool
    qk_norm: bool
    windows: tuple[int | None, ...]
    eos_token_ids: tuple[int, ...]
    rope_factors: tuple[float, ...] | None = None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> ModelConfig:
        """Reads a `config.json` of transformers 4 or 5.

        Raises:
            ModelFormatError: the architecture or a setting of it is not one the engine runs.
        """
        architecture = str(config.get("model_type"))
        if architecture not in SUPPORTED_ARCHITECTURES:
            raise ModelFormatError(
                f"model type {architecture!r} is not supported; the engine runs {', '.join(SUPPORTED_ARCHITECTURES)}"
            )
        _refuse_unknown(config)
        try:
            return cls._from_known(architecture, config)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise ModelFormatError(f"config.json lacks or garbles a setting: {error}") from error

    @classmethod
    def _from_known(cls, architecture: str, config: dict[str, Any]) -> ModelConfig:
        num_heads = int(config["num_attention_heads"])
        hidden_size = int(config["hidden_size"])
        num_layers = int(config["num_hidden_layers"])
        if not 1 <= num_layers <= _MAX_LAYERS:
            raise ValueError(f"num_hidden_layers is {num_layers}")
        llama_bias = architecture == "llama" and bool(config.get("attention_bias", False))
        qwen3_bias = architecture == "qwen3" and bool(config.get("attention_bias", False))
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        built = cls(
            architecture=architecture,
            vocab_size=int(config["vocab_size"]),
            hidden_size=hidden_size,
            intermediate_size=int(config["intermediate_size"]),
            num_layers=num_layers,
            num_heads=num_heads,
            num_kv_heads=int(config.get("num_key_value_heads") or num_heads),
            head_dim=int(config.get("head_dim") or hidden_size // num_heads),
            max_position=int(config["max_position_embeddings"]),
            rms_norm_eps=float(config["rms_norm_eps"]),
            rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
            rope_scaling=_rope_scaling(rope, int(config["max_position_embeddings"])),
            tie_embeddings=bool(config.get("tie_word_embeddings", False)),
            qkv_bias=architecture == "qwen2" or llama_bias or qwen3_bias,
            o_bias=llama_bias or qwen3_bias,
            mlp_bias=architecture == "llama" and bool(config.get("mlp_bias", False)),
            qk_norm=architecture == "qwen3",
            windows=_windows(architecture, config, num_layers),
            eos_token_ids=_as_ids(config.get("eos_token_id")),
            rope_factors=tuple(config["rope_factors"]) if config.get("rope_factors") else None,
        )
        built._check()
        return built

    def _check(self) -> None:
        sizes = (
            self.vocab_size,
            self.hidden_size,
            self.intermediate_size,
            self.num_layers,
            self.num_heads,
            self.num_kv_heads,
            self.head_dim,
            self.max_position,
        )
        if min(sizes) < 1 or self.num_heads % self.num_kv_heads or self.head_dim % 2:
            raise ValueError("sizes must be positive, head_dim even, and heads a multiple of key/value heads")
        if not (self.rms_norm_eps >= 0 and 0 < self.rope_theta < float("inf")):
            raise ValueError("rms_norm_eps must not be negative, and rope_theta must be positive")
        if self.rope_scaling is not None and not 0 < self.rope_scaling.factor < float("inf"):
            raise ValueError("the factor of RoPE scaling must be positive")
        if len(self.windows) != self.num_layers or any(window is not None and window < 1 for window in self.windows):
            raise ValueError("layer_types must name every layer, and sliding_window must be positive")

    @property
    def num_parameters(self) -> int:
        """Weights of the matrices; norms and biases are too few to matter."""
        attention = self.hidden_size * self.head_dim * 2 * (self.num_heads + self.num_kv_heads)
        mlp = 3 * self.hidden_size * self.intermediate_size
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_embeddings else 2)
        return self.num_layers * (attention + mlp) + embeddings

    def kv_bytes_per_token(self, bytes_per_value: int = 2) -> int:
        """Bytes of key/value states that one token occupies over all layers."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * bytes_per_value


def _refuse_unknown(config: dict[str, Any]) -> None:
    activation = config.get("hidden_act", "silu")
    if activation != "silu":
        raise ModelFormatError(f"activation {activation!r} is not supported; the engine runs silu")
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "unknown")
        raise ModelFormatError(
            f"weights quantized by {method!r} are not supported; use the original weights or a GGUF file"
        )


def _rope_scaling(rope: dict[str, Any], max_position: int) -> RopeScaling | None:
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return None
    if kind == "linear":
        return RopeScaling("linear", float(rope["factor"]))
    if kind == "llama3":
        return RopeScaling(
            "llama3",
            float(rope["factor"]),
            float(rope["low_freq_factor"]),
            float(rope["high_freq_factor"]),
            int(rope.get("original_max_position_embeddings") or max_position),
        )
    raise ModelFormatError(f"RoPE scaling {kind!r} is not supported; the engine runs linear and llama3")


def _windows(architecture: str, config: dict[str, Any], num_layers: int) -> tuple[int | None, ...]:
    window = config.get("sliding_window")
    if window is None or architecture == "llama":
        return (None,) * num_layers
    if config.get("layer_types"):
        kinds = {"sliding_attention": int(window), "full_attention": None}
        return tuple(kinds[kind] for kind in config["layer_types"])
    if architecture == "mistral":
        return (int(window),) * num_layers
    if not config.get("use_sliding_window", False):
        return (None,) * num_layers
    first = int(config.get("max_window_layers", num_layers))
    return tuple(int(window) if layer >= first else None for layer in range(num_layers))


def _as_ids(value: int | list[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(int(item) for item in value)
