"""`rag models …`: the language models on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.common import Json, opened

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(help="The language models on this machine.", no_args_is_help=True)


@app.command()
def pull(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Bundled or hub name.", show_default="smollm2-135m")] = None,
) -> None:
    """Fetch a model and make it ready to load."""
    with opened(ctx, model=name) as (rag, output):
        rag.runtime.close()
        output.clear_note()
        output.out.print(f"{rag.settings.model} is ready", markup=False)


@app.command("list")
def list_all(ctx: typer.Context, *, json: Json = False) -> None:
    """List the models on this machine."""
    from rag.console import size
    from serving.models.load import list_models

    with opened(ctx, json) as (rag, output):
        models = list_models(rag.settings.models_folder)
        if json:
            for name, path in models:
                output.json({"name": name, "path": path})
        elif models:
            output.table(("name", "size", "path"), [(name, size(_size(path)), str(path)) for name, path in models])
        else:
            output.say("no models yet; `rag models pull` fetches the bundled one")


@app.command()
def show(ctx: typer.Context, name: Annotated[str | None, typer.Argument()] = None, *, json: Json = False) -> None:
    """Show a model's shape and the memory it needs."""
    from rag.overview import print_model
    from serving.engine.kvcache import KVFormat
    from serving.models.memory import describe_memory
    from serving.models.runner import choose_runner

    with opened(ctx, json, model=name) as (rag, output):
        model, settings = rag.model, rag.settings
        choice = choose_runner(
            model, settings.weight_format, settings.device, output.note, use_kernels=settings.kernels
        )
        memory = describe_memory(model, choice, KVFormat(settings.kv_format))
        output.clear_note()
        if json:
            adapter = None if model.adapter is None else model.adapter.folder
            named = {"name": model.name, "path": model.path, "adapter": adapter}
            output.json({**named, "config": model.config, "memory": memory})
        else:
            print_model(output.out, model, memory, settings.kv_cache_mb)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
