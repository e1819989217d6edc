"""Settings: flag > environment (`RAG_…`) > `config.toml` in the home folder > default."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from rag.errors import ConfigError

DEFAULT_HOME = Path("~/.readonce")
CONFIG_FILE = "config.toml"


def home_folder(home: Path | None = None) -> Path:
    """The folder that holds index, models and configuration: the flag's, `RAG_HOME`, or `~/.readonce`."""
    return Path(home or os.environ.get("RAG_HOME") or DEFAULT_HOME).expanduser().absolute()


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(env_prefix="RAG_", extra="forbid", frozen=True)

    home: Path = Field(DEFAULT_HOME, description="folder of the index, the models and config.toml")
    collection: str = Field("default", min_length=1, max_length=100, description="collection used unless named")

    model: str = Field("smollm2-135m", description="bundled name, hub name, path of a .gguf file or model folder")
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
    max_new_tokens: int = Field(128, ge=1, le=32_768, description="longest answer, in tokens")
    answer_timeout_s: float | None = Field(None, gt=0, description="time after which an answer ends; none for no end")
    temperature: float = Field(0.0, ge=0, le=10, description="0 always takes the likeliest token")
    repetition_penalty: float = Field(1.05, ge=0.1, le=10, description="above 1 discourages repetition")

    top_k: int = Field(3, ge=1, le=100, description="passages per question")
    context_tokens: int = Field(1536, ge=64, description="budget of the prompt, in tokens")
    candidates: int = Field(50, ge=1, le=1000, description="hits taken from each index before fusion")
    dense_weight: float = Field(0.5, ge=0, le=1, description="share of vector similarity in the fused score")
    min_relevance: float = Field(0.2, ge=0, le=1, description="below it the documents do not answer; 0 always asks")

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
    def uploads_folder(self) -> Path:
        """Where uploads wait to be ingested."""
        return self.home / "uploads"

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
    if settings.chunk_overlap >= settings.chunk_tokens:
        raise ConfigError(
            f"chunk_overlap ({settings.chunk_overlap}) must be smaller than chunk_tokens ({settings.chunk_tokens})"
        )
    return settings


def read_config_file(home: Path) -> dict[str, Any]:
    """What `config.toml` sets; nothing when there is none."""
    file = home / CONFIG_FILE
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: not readable as TOML ({error})") from error


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting in force, and where it was set."""

    name: str
    value: Any
    source: str
    meaning: str

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """For a table."""
        return self.name, str(self.value), self.source, self.meaning


def explain(settings: Settings) -> list[Setting]:
    """Every setting in force, in the order of their definition."""
    from_file = read_config_file(settings.home)
    found = []
    for name, field in Settings.model_fields.items():
        if f"RAG_{name.upper()}" in os.environ:
            source = f"RAG_{name.upper()}"
        else:
            source = CONFIG_FILE if name in from_file else "default"
        found.append(Setting(name, getattr(settings, name), source, field.description or ""))
    return found


def write_setting(home: Path, name: str, value: str) -> Any:
    """Sets one value in `config.toml`, after checking it; gives the value as it will be read.

    Raises:
        ConfigError: there is no such setting, or the value does not fit it.
    """
    if name not in Settings.model_fields or name == "home":
        known = ", ".join(sorted(set(Settings.model_fields) - {"home"}))
        raise ConfigError(f"there is no setting {name!r}; there are: {known}")
    content = read_config_file(home)
    parsed = getattr(load_settings(home, **{name: value}), name)
    content[name] = parsed
    text = "".join(f"{key} = {_toml(item)}\n" for key, item in sorted(content.items()))
    partial = home / f"{CONFIG_FILE}.partial"
    try:
        home.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(home / CONFIG_FILE)
    except OSError as error:
        raise ConfigError(f"{home / CONFIG_FILE}: cannot be written ({error.strerror})") from error
    return parsed


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _first_line(error: ValidationError | SettingsError, home: Path) -> str:
    if isinstance(error, SettingsError):
        return str(error)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    where = f" in {home / CONFIG_FILE}" if name in read_config_file(home) else ""
    if first["type"] == "extra_forbidden":
        return f"there is no setting {name!r}{where}; `rag config show` lists them"
    return f"setting {name}{where}: {first['msg'].lower()}, got {first['input']!r}"
