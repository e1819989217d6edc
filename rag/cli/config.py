"""`rag config …`: the settings."""

from __future__ import annotations

import typer

from rag.cli.common import Json  # noqa: TC001 - typer reads the annotations

app = typer.Typer(help="The settings: flag > environment (RAG_...) > config.toml > default.", no_args_is_help=True)


@app.command()
def show(ctx: typer.Context, *, json: Json = False) -> None:
    """Show every setting in force and where it comes from."""
    from rag.console import Output
    from rag.setting import explain

    output = Output(as_json=json)
    rows = explain(ctx.obj.settings())
    if json:
        output.json({row.name: row.value for row in rows})
    else:
        output.table(("setting", "value", "from", "meaning"), [row.cells for row in rows])


@app.command("set")
def set_value(ctx: typer.Context, name: str, value: str) -> None:
    """Set one value in config.toml."""
    from rag.config import home_folder
    from rag.setting import write_setting

    written = write_setting(home_folder(ctx.obj.home), name, value)
    typer.echo(f"{name} = {written}")


@app.command()
def unset(ctx: typer.Context, name: str) -> None:
    """Take one value out of config.toml, so that its default holds again."""
    from rag.config import home_folder
    from rag.setting import unset_setting

    unset_setting(home_folder(ctx.obj.home), name)
    typer.echo(f"{name} = {getattr(ctx.obj.settings(), name)}")
