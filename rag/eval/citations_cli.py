"""`rag eval citations`: whether what is shown as verified is so."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from rag.bench.cli import Json, Save, settings_of


def citations(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option(help="Questions with answers that are spans of passages, in SQuAD's format.")],
    questions: Annotated[int, typer.Option(min=20, help="How many to take at most.")] = 300,
    only: Annotated[list[str] | None, typer.Option(help="An article to take them from; may be given again.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="An article to leave out; may be given again.")] = None,
    seed: Annotated[int, typer.Option(help="Another one draws other questions.")] = 0,
    *,
    vectors: Annotated[bool, typer.Option("--vectors/--no-vectors", help="Compare token vectors too.")] = True,
    refit: Annotated[bool, typer.Option("--refit", help="Also fit weights and threshold to these questions.")] = False,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Precision, recall and AUC of 'verified': right answers with their passage, wrong ones, and other passages."""
    from rag.bench.render import deliver
    from rag.console import Output
    from rag.eval.citations import CitationsEval, eval_citations

    asked = CitationsEval(data, questions, tuple(only or ()), tuple(without or ()), vectors, refit, seed)
    deliver(eval_citations(settings_of(ctx), asked, Output().note), as_json=as_json, save=save, rows=True)
