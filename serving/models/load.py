"""From a model's name or path to a runtime that answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from serving.errors import ModelFormatError, ModelNotFoundError
from serving.models.fetch import BUNDLED_FILE, BUNDLED_NAME, BUNDLED_SHA256, fetch_bundled, fetch_from_hub, hub_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.engine.options import EngineOptions
    from serving.models.prepared import PreparedModel
    from serving.models.tokenizer import Tokenizer
    from serving.native import NativeRuntime
    from serving.states.store import StateStore

    Notify = Callable[[str], None]

_MEMORY_BYTES = 256 << 20  # for kept states, where there is no store for them
_BUNDLED_ADAPTERS = Path(__file__).parent / "adapters"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def find_model(name: str, models_folder: Path) -> Path | None:
    """Where a model is on this machine: a path, the bundled model's name, or one fetched from the hub before."""
    if name == BUNDLED_NAME:
        file = models_folder / BUNDLED_FILE
        return file if file.is_file() else None
    try:
        path = Path(name).expanduser()
        if path.exists():
            return path.resolve()
    except (OSError, RuntimeError):  # a name too long for a path, or the home of a person who is not there
        return None
    if _HUB_NAME.fullmatch(name) and hub_folder(name, models_folder).is_dir():
        return hub_folder(name, models_folder)
    return None


def pull_model(name: str, models_folder: Path, notify: Notify) -> Path:
    """The model's place on this machine, fetched if it is not there yet.

    Raises:
        ModelNotFoundError: it is neither a path nor a name that can be fetched.
    """
    found = find_model(name, models_folder)
    if found is not None:
        return found
    if name == BUNDLED_NAME:
        return fetch_bundled(models_folder, notify)
    if _HUB_NAME.fullmatch(name) and not name.startswith(("./", "../")):
        return fetch_from_hub(name, models_folder, notify)
    raise ModelNotFoundError(
        f"there is no model {name!r}: give the path of a .gguf file or model folder, a hub name such as "
        f"Qwen/Qwen3-0.6B, or {BUNDLED_NAME}"
    )


def list_models(models_folder: Path) -> list[tuple[str, Path]]:
    """Names and places of the models kept in the models folder."""
    bundled = find_model(BUNDLED_NAME, models_folder)
    models = [(BUNDLED_NAME, bundled)] if bundled else []
    if models_folder.is_dir():
        for entry in sorted(models_folder.iterdir()):
            if entry.name.startswith("."):
                continue
            if "--" in entry.name and (entry / "config.json").is_file():
                models.append((entry.name.replace("--", "/", 1), entry))
            elif entry.suffix == ".gguf" and entry.name != BUNDLED_FILE:
                models.append((str(entry), entry))
    return models


def find_adapter(chosen: str, model: Path, models_folder: Path) -> Path | None:
    """The folder of the adapter that a model is to run with, if any.

    Args:
        chosen: a folder; `auto` for the one that comes with the bundled model, where `model` is that; or `none`.

    Raises:
        ModelNotFoundError: there is no such folder.
    """
    if chosen == "none":
        return None
    if chosen == "auto":
        return bundled_adapter() if model.resolve() == (models_folder / BUNDLED_FILE).resolve() else None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise ModelNotFoundError(f"there is no adapter {chosen!r}: give the path of its folder, auto, or none")
    return folder.resolve()


def adapter_name(chosen: str, model: str, models_folder: Path) -> str | None:
    """What the adapter is called that a model is to run with, see `find_adapter`; the model need not be there yet."""
    from serving.models.adapter import read_notes

    expected = models_folder / BUNDLED_FILE if model == BUNDLED_NAME else Path(model)
    folder = find_adapter(chosen, find_model(model, models_folder) or expected, models_folder)
    return None if folder is None else read_notes(folder).name or folder.name


def bundled_adapter() -> Path | None:
    """The folder of the adapter that was trained for the bundled model; None where it is not installed."""
    from serving.models.adapter import CONFIG_FILE, read_notes

    folders = sorted(file.parent for file in _BUNDLED_ADAPTERS.glob(f"*/{CONFIG_FILE}"))
    return next((folder for folder in folders if read_notes(folder).base_sha256 == BUNDLED_SHA256), None)


def open_model(name: str, models_folder: Path, notify: Notify, adapter: str = "none") -> PreparedModel:
    """Finds or fetches a model and reads its header, and that of its adapter.

    Args:
        adapter: see `find_adapter`.
    """
    path = pull_model(name, models_folder, notify)
    from serving.models.adapter import open_adapter
    from serving.models.prepared import adapted, prepare

    folder = find_adapter(adapter, path, models_folder)
    model = prepare(path, models_folder, notify)
    return model if folder is None else adapted(model, open_adapter(folder, model.config))


def load_tokenizer(model: PreparedModel) -> Tokenizer:
    """The model's tokenizer alone; its weights stay on disk."""
    from serving.models.tokenizer import Tokenizer

    return Tokenizer(model.tokenizer_file)


def load_runtime(
    model: PreparedModel,
    weight_format: str,
    *,
    notify: Notify,
    device: str = "auto",
    num_threads: int | None = None,
    kv_format: str = "auto",
    use_kernels: bool = True,
    options: EngineOptions | None = None,
    store: StateStore | None = None,
    states_format: str = "int8",
) -> NativeRuntime:
    """Loads a model's weights and makes it ready to answer.

    Args:
        weight_format: one of `WeightFormat`, or `auto` for what suits the processor best.
        device: `cpu`, `cuda`, or `auto` for the GPU where there is one.
        num_threads: CPU threads of this process's matrix products; None leaves PyTorch's choice.
        kv_format: one of `KVFormat`.
        use_kernels: False leaves all work to PyTorch's operators.
        options: how the engine shares time and memory among requests.
        store: where states of passages are kept; None for memory of this process alone.
        states_format: how they are kept, one of `StatesFormat`.

    Raises:
        ModelFormatError: weights are missing, damaged or of other shapes than the configuration says.
        NotEnoughMemoryError: it would not fit.
    """
    import torch

    from serving.engine.engine import Engine
    from serving.engine.kvcache import KVFormat
    from serving.engine.options import EngineOptions
    from serving.engine.passages import digest_of
    from serving.engine.reuse import PassageReuse
    from serving.models.chat import ChatTemplate
    from serving.models.keep import KeepingSource
    from serving.models.memory import require_memory
    from serving.models.prepared import open_weights
    from serving.models.runner import choose_runner, make_runner
    from serving.native import NativeRuntime
    from serving.states.store import StateStore
    from serving.states.types import StatesFormat

    if num_threads is not None:
        torch.set_num_threads(num_threads)
    tokenizer = load_tokenizer(model)
    texts = model.tokenizer_config()
    choice = choose_runner(model, weight_format, device, notify, use_kernels=use_kernels)
    options = options or EngineOptions()
    store = store or StateStore(None, memory_bytes=_MEMORY_BYTES, disk_bytes=0)
    kept_bytes = store.memory_budget_bytes if options.effective.passage_reuse else 0
    require_memory(model, choice, KVFormat(kv_format), options, kept_bytes)
    source = open_weights(model, choice.weight_format)

    def progress(done: int, total: int) -> None:
        notify(f"loading {model.name} ({choice.weight_format}), layer {done} of {total}")

    _require_same_vocabulary(model, tokenizer)
    try:
        template = ChatTemplate(texts.get("chat_template"), texts.get("bos_token"), texts.get("eos_token"))
        runner = make_runner(choice, model, source, KVFormat(kv_format), progress)
    except ModelFormatError as error:
        raise ModelFormatError(f"{model.path}: {error}") from error
    if isinstance(source, KeepingSource):
        source.keep()
    reuse = PassageReuse(
        runner,
        store,
        digest_of(model.fingerprint, runner.weight_format),
        StatesFormat(states_format),
    )
    engine = Engine(runner, tokenizer, options=options, reuse=reuse)
    return NativeRuntime(model.name, engine, template, reuse, model.default_reuse)


def _require_same_vocabulary(model: PreparedModel, tokenizer: Tokenizer) -> None:
    if tokenizer.num_model_tokens > model.config.vocab_size:
        raise ModelFormatError(
            f"{model.path}: the tokenizer has {tokenizer.num_model_tokens} tokens, "
            f"the weights know {model.config.vocab_size}; they belong to different models"
        )
