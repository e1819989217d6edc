"""Settings: flag > environment (`RAG_…`) > `config.toml` in the home folder > default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from rag.choices import AbstainChoice, ReuseChoice
from rag.config_file import CONFIG_FILE, read_config_file
from rag.errors import ConfigError
from serving.runtime import Reuse

if TYPE_CHECKING:
    from serving.runtime import Reader

MIN_REWRITTEN = 0.8  # share of follow-ups that a model has to restate rightly to be used for it
DEFAULT_HOME = Path("~/.readonce")


def home_folder(home: Path | None = None) -> Path:
    """The folder that holds index, models and configuration: the flag's, `RAG_HOME`, or `~/.readonce`."""
    return Path(home or os.environ.get("RAG_HOME") or DEFAULT_HOME).expanduser().absolute()


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(env_prefix="RAG_", extra="forbid", frozen=True)

    home: Path = Field(DEFAULT_HOME, description="folder of the index, the models and config.toml")
    collection: str = Field("default", min_length=1, max_length=100, description="collection used unless named")

    model: str = Field("smollm2-135m", description="bundled name, hub name, path of a .gguf file or model folder")
    adapter: str = Field(
        "auto", description="folder of a LoRA adapter merged into the model; auto: the bundled model's own; none"
    )
    weight_format: Literal["auto", "int4", "int8", "bf16", "float32"] = Field(
        "auto", description="how weights are held; auto: int4 or int8 as the file's own, bf16 where no kernels run"
    )
    kernels: bool = Field(True, description="use the project's own kernels where processor and a C compiler allow")
    kv_format: Literal["auto", "int8"] = Field("auto", description="how the states of tokens are held; auto: bf16")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the model runs")
    num_threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; none leaves it to PyTorch")
    kv_cache_mb: int = Field(1024, ge=1, description="memory for the states of prompts and answers in work or kept")
    prefix_cache: bool = Field(True, description="keep states of what was computed for prompts that begin alike")
    speculation: bool = Field(True, description="draft answers from their passages and verify several tokens at once")
    max_running: int = Field(16, ge=1, le=1024, description="answers decoded together; further questions wait")
    naive: bool = Field(False, description="one answer at a time, nothing kept or drafted; to compare with")

    states: Literal["at-ingest", "first-use", "off"] = Field(
        "first-use", description="when passages' states are computed, which are then kept and reused; off: never"
    )
    states_format: Literal["int8", "bf16"] = Field("int8", description="how passages' states are kept")
    states_memory_mb: int = Field(512, ge=0, description="memory for passages' states")
    states_disk_mb: int = Field(4096, ge=0, description="disk space for passages' states; 0: none")
    repair_tokens: int | None = Field(
        None, ge=0, description="first tokens of a reused passage computed anew; none: as measured for the model"
    )
    repair_share: float | None = Field(
        None, ge=0, le=1, description="share of its other tokens computed anew; none: as measured for the model"
    )
    compress: float = Field(
        1.0, gt=0, le=1, description="share of the passages' tokens that the model reads, by sentences; 1 reads all"
    )
    compressor_model: Path | None = Field(
        None, description="folder of a token classification model that says what to read; none: terms do"
    )
    numbers_first: bool = Field(False, description="the number of a passage stands before it in the prompt, not behind")
    reuse: dict[str, ReuseChoice] = Field(
        default_factory=dict, description="what `rag eval fidelity` chose for each model"
    )

    answer_cache: Literal["off", "exact", "near"] = Field(
        "exact", description="give answers again to the same question, or also to one that is nearly the same"
    )
    answer_cache_mb: int = Field(64, ge=1, description="disk space for answers that are given again")
    follow_ups: Literal["auto", "terms", "llm", "off"] = Field(
        "auto",
        description="how a question that leans on those before is completed: by their terms, or by the model; "
        "auto: by the model where `rag eval follow-ups` found it able",
    )
    rewriters: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="share of follow-ups that each model restated in `rag eval follow-ups`"
    )
    split_questions: bool = Field(True, description="search for each part of a question that asks several things")
    composite: bool = Field(
        True, description="lists, comparisons and what tables say are answered in ways of their own"
    )
    target_ttft_ms: float | None = Field(
        None, gt=0, description="time to the first token that passages, compression and repair are chosen to meet"
    )
    max_new_tokens: int = Field(128, ge=1, le=32_768, description="longest answer, in tokens")
    answer_timeout_s: float | None = Field(None, gt=0, description="time after which an answer ends; none for no end")
    temperature: float = Field(0.0, ge=0, le=10, description="0 always takes the likeliest token")
    repetition_penalty: float = Field(1.0, ge=0.1, le=10, description="above 1 discourages repetition")
    quote: bool = Field(False, description="answers consist of quotations, word for word as the documents have them")

    top_k: int = Field(3, ge=1, le=100, description="passages per question")
    context_tokens: int = Field(1536, ge=64, description="budget of the prompt, in tokens")
    candidates: int = Field(100, ge=1, le=1000, description="hits taken from each index before fusion")
    dense_weight: float = Field(0.5, ge=0, le=1, description="share of vector similarity in the fused score")
    fusion: Literal["convex", "rrf"] = Field(
        "convex", description="how vector and text search become one: sum of normalised scores, or reciprocal ranks"
    )
    rerank: Literal["auto", "off", "late", "llm", "cross-encoder"] = Field(
        "auto", description="closer look at the best hits: at their tokens (late), or by a model; auto: late, if it can"
    )
    reranker_model: str | None = Field(None, description="cross-encoder: a folder, or a name in the local cache")
    nli_model: Path | None = Field(
        None, description="folder of a model of entailment, which citations then need to be verified; none: their place"
    )
    rerank_candidates: int = Field(32, ge=1, le=1000, description="best of the fused hits that a reranker judges")
    drop_near_duplicates: bool = Field(True, description="leave out passages that repeat a better one word for word")
    diversity: float = Field(0.0, ge=0, lt=1, description="how much passages shall differ (MMR); 0 takes the best")
    join_neighbours: int = Field(
        0, ge=0, le=10, description="passages so many chunks apart are read as one, which has no states yet; 0: none"
    )
    min_relevance: float = Field(0.2, ge=0, le=1, description="below it the documents do not answer; 0 always asks")
    abstain: dict[str, AbstainChoice] = Field(
        default_factory=dict,
        description="what `rag eval abstain` chose for each collection, where min_relevance is not set",
    )

    vector_recall: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the nearest vectors found in a large collection; 1: compare all; none: as ingested, 0.95",
    )
    vector_exact_up_to: int = Field(
        50_000, ge=1, description="chunks of a collection whose vectors are all compared; more are searched by lists"
    )
    embedding_model: str = Field("all-MiniLM-L6-v2", description="bundled name, or a sentence-transformers folder")
    chunk_tokens: int = Field(256, ge=16, le=8192, description="longest chunk, in the model's tokens")
    chunk_overlap: int = Field(32, ge=0, description="tokens that neighbouring chunks share at most")
    extract_stall_s: float = Field(120.0, gt=0, description="longest time on one page of a file, in seconds")
    extract_timeout_s: float = Field(3600.0, gt=0, description="longest time on one file, in seconds")
    extract_memory_mb: int = Field(3072, ge=1024, description="memory limit for reading one file")

    host: str = Field("127.0.0.1", description="address that `rag serve` listens on")
    port: int = Field(8080, ge=0, le=65_535, description="port that `rag serve` listens on")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="further host names the server answers to, with commas between"
    )
    max_upload_mb: int = Field(100, ge=1, description="largest upload")
    max_queue: int = Field(16, ge=1, description="questions that may be answered or wait at once")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the file."""
        home = init_settings()["home"]
        return init_settings, env_settings, InitSettingsSource(settings_cls, read_config_file(home))

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @property
    def models_folder(self) -> Path:
        """Where models are kept."""
        return self.home / "models"

    @property
    def index_folder(self) -> Path:
        """Where the index is kept."""
        return self.home / "index"

    @property
    def head_file(self) -> Path:
        """The late-interaction head that `rag tune reranker` made, which is used before the bundled one."""
        return self.home / "reranker" / "head.safetensors"

    def calibration_file(self, fingerprint: str) -> Path:
        """Where is kept what was measured of when a model is to decline, by its fingerprint or that of its adapter."""
        return self.home / "calibration" / f"{fingerprint[:16]}.json"

    @property
    def uploads_folder(self) -> Path:
        """Where uploads wait to be ingested."""
        return self.home / "uploads"

    @property
    def states_folder(self) -> Path:
        """Where passages' states are kept."""
        return self.home / "states"

    @property
    def answers_file(self) -> Path:
        """Where answers are kept that are given again."""
        return self.home / "answers.sqlite"

    @property
    def speeds_file(self) -> Path:
        """What this machine was found to take for prompts, by model."""
        return self.home / "speeds.json"

    @property
    def states_obstacle(self) -> str:
        """Which setting forbids states of passages to be kept and reused; empty when none does."""
        return "states is off" if self.states == "off" else "naive is on" if self.naive else ""

    def rewrites_with(self, model_name: str) -> bool:
        """Whether a model restates follow-up questions: as set, or as it was found able."""
        able = self.rewriters.get(model_name, 0.0) >= MIN_REWRITTEN
        return self.follow_ups == "llm" or (self.follow_ups == "auto" and able)

    def reuse_for(self, model: Reader) -> Reuse | None:
        """How a model uses kept states: as set, else as measured for it, else as it was made for; None: not at all."""
        default = model.default_reuse
        choice = self.reuse.get(model.name, ReuseChoice(default.repair_tokens, default.repair_share))
        is_set = self.repair_tokens is not None or self.repair_share is not None
        if self.states_obstacle or not (choice.states or is_set):
            return None
        tokens = choice.repair_tokens if self.repair_tokens is None else self.repair_tokens
        return Reuse(tokens, choice.repair_share if self.repair_share is None else self.repair_share)

    def min_relevance_for(self, collection: str) -> float:
        """Below which relevance a collection does not answer: as set, else as measured for it, else the default."""
        choice = None if "min_relevance" in self.model_fields_set else self.abstain.get(collection)
        return self.min_relevance if choice is None else choice.min_relevance

    @property
    def max_upload_bytes(self) -> int:
        """Largest upload in bytes."""
        return self.max_upload_mb << 20


def load_settings(home: Path | None = None, **flags: Any) -> Settings:
    """The settings in force; flags that are None were not given.

    Raises:
        ConfigError: a value or a name is wrong; the message says which and where it was set.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    folder = home_folder(home)
    try:
        settings = Settings(**{**given, "home": folder})
    except (ValidationError, SettingsError) as error:
        raise ConfigError(_first_line(error, folder)) from error
    if (conflict := _conflict(settings)) is not None:
        raise ConfigError(conflict)
    return settings


def _conflict(settings: Settings) -> str | None:
    if settings.chunk_overlap >= settings.chunk_tokens:
        return f"chunk_overlap ({settings.chunk_overlap}) must be smaller than chunk_tokens ({settings.chunk_tokens})"
    if settings.states == "at-ingest" and not settings.states_disk_mb:
        return "states at-ingest needs disk space to keep them: set states_disk_mb above 0"
    if settings.rerank == "cross-encoder" and not settings.reranker_model:
        return "rerank cross-encoder needs a model: set reranker_model to its folder or name"
    if settings.states == "at-ingest" and settings.naive:
        return "states at-ingest keeps states and naive keeps nothing: set one of them otherwise"
    return None


def _first_line(error: ValidationError | SettingsError, home: Path) -> str:
    if isinstance(error, SettingsError):
        return str(error)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    where = f" in {home / CONFIG_FILE}" if first["loc"][0] in read_config_file(home) else ""
    if first["type"] == "extra_forbidden":
        return f"there is no setting {name!r}{where}; `rag config show` lists them"
    return f"setting {name}{where}: {first['msg'].lower()}, got {first['input']!r}"
