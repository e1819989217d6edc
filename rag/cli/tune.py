"""`rag tune …`: what is learnt from questions and documents."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from rag.cli.common import Collection, Json, Quiet, opened

app = typer.Typer(help="Tune what finds passages, on this machine, to what is asked.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Makes `reranker` a command of its own though it is the only one."""


@app.command()
def reranker(
    ctx: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", exists=True, help="Test collection to learn from, as `rag eval retrieval` reads it."),
    ] = None,
    collection: Collection = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training, about a second each.")] = 260,
    passages: Annotated[int, typer.Option(min=10, help="Passages of the own collection, at most.")] = 1500,
    seed: Annotated[int, typer.Option(help="Another one draws other questions.")] = 0,
    *,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin with the embedding model, not the head in use.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tune the reranker on questions whose passages are known, or on sentences taken out of your own documents.

    A fifth of it is held out. The result is kept, and used from then on, if it answers these questions better; it
    takes minutes, and Ctrl-C leaves everything as it is.
    """
    from rag.rerank.tune.tune import TuneSettings, tune

    with opened(ctx, json, quiet) as (rag, output):
        own = collection or (None if data else rag.settings.collection)
        settings = TuneSettings(tuple(data or ()), own, passages, steps, fresh, seed)
        found = tune(rag, settings, output.note)
        if json:
            output.json({"comparison": found, "kept": found.helps})
            return
        low, high = found.interval
        before = "" if found.before is None else f", {found.before:.3f} with the reranker so far"
        output.out.print(
            f"MRR@10 on {found.num_questions} held-out questions: {found.hybrid:.3f} without reranking{before}, "
            f"{found.after:.3f} with the new one ({found.gain:+.3f} [{low:+.3f}, {high:+.3f}])",
            markup=False,
        )
        output.out.print(
            f"kept in {rag.settings.head_file}" if found.helps else "not kept: it does not help", markup=False
        )
