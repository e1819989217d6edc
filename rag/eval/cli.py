"""`rag eval …`: how well questions are answered."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from rag.bench.cli import Json, Model, Save, settings_of

app = typer.Typer(help="Measure the quality of answers.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `answers` a command of its own while it is the only one."""


@app.command()
def answers(
    ctx: typer.Context,
    questions: Annotated[
        Path | None, typer.Option(help="JSON file of questions with known answers.", show_default="the demo's")
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection", "-c", help="Documents to ask; without it, and without --questions, the demo's are used."
        ),
    ] = None,
    model: Model = None,
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also each question with its answer.")] = False,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Passages found, answers right, questions rightly and wrongly declined, citations, and speed."""
    from rag.bench.render import deliver
    from rag.console import Output
    from rag.eval.answers import eval_answers

    settings = settings_of(ctx, model=model)
    report = eval_answers(settings, questions, collection, Output().note)
    deliver(report, as_json=as_json, save=save, rows=verbose)
