"""`rag status`, `verify`, `serve`, `demo`: the whole of it."""

from __future__ import annotations

from typing import Annotated

import typer

from rag.cli.common import EXIT_DAMAGED, Json, Model, Quiet, States, opened

app = typer.Typer()


@app.command()
def status(ctx: typer.Context, *, json: Json = False) -> None:
    """Say what is there: documents, index, model."""
    from rag.overview import print_status

    with opened(ctx, json) as (rag, output):
        found = rag.status()
        if json:
            output.json(found)
        else:
            print_status(output.out, found)


@app.command()
def verify(
    ctx: typer.Context,
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild what is made from the documents, remove the rest.")
    ] = False,
    json: Json = False,
) -> None:
    """Check that the index and the kept states are whole, and that nothing outlives its document."""
    with opened(ctx, json) as (rag, output):
        problems = rag.verify()
        if problems and repair:
            rag.repair()
            problems = rag.verify()
        if json:
            output.json({"problems": problems})
        else:
            for problem in problems or ["the index is whole"]:
                output.out.print(problem, markup=False)
        if problems:
            output.say(
                "" if repair else "`rag verify --repair` rebuilds what is made from the documents and removes the rest"
            )
            raise typer.Exit(EXIT_DAMAGED)


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8080")] = None,
    model: Model = None,
    states: States = None,
) -> None:
    """Serve the web page and the API."""
    from rag.api.server import serve as run_server

    with opened(ctx, host=host, port=port, model=model, states=states) as (rag, output):
        run_server(rag, lambda address: output.say(f"Readonce is at {address} (Ctrl-C stops it)"))


@app.command()
def demo(ctx: typer.Context, model: Model = None, *, quiet: Quiet = False) -> None:
    """Ingest the demo documents and ask three questions."""
    from rag.demo.run import run_demo

    with opened(ctx, quiet=quiet, model=model) as (rag, output):
        run_demo(rag, output)
