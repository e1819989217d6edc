"""`rag eval answers …` as a command."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from rag.bench.cli import Json, Model, Save, settings_of

_COMMA = "several with commas between"


def answers(
    ctx: typer.Context,
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="JSON file in the format of SQuAD, PubMedQA or MuSiQue, or of questions like the demo's.",
            show_default="the demo's questions",
        ),
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection", "-c", help="Documents to ask, for questions like the demo's; else those of the dataset."
        ),
    ] = None,
    oracle: Annotated[
        int | None,
        typer.Option(min=1, help="Passages to give with each question, its own among them; else they are retrieved."),
    ] = None,
    variants: Annotated[
        str,
        typer.Option(
            help="Ways of answering to compare, the first with each other: full (nothing reused), repair 16, "
            f"compress 0.5, quote, adapter none, format bf16, or any setting=value; + joins them, {_COMMA}.",
            show_default="as set",
        ),
    ] = "",
    questions: Annotated[int | None, typer.Option(min=1, help="How many to ask at most.", show_default="all")] = None,
    seed: Annotated[int, typer.Option(help="Another one draws other questions.")] = 0,
    articles: Annotated[
        str | None, typer.Option(help=f"Titles of the articles to ask about; {_COMMA}.", show_default="all")
    ] = None,
    hold_out: Annotated[
        Path | None, typer.Option(help="File with such titles, or ids of questions, one a line: those held out.")
    ] = None,
    at_once: Annotated[
        int, typer.Option(min=1, max=64, help="Questions asked together; with more than one, no times are taken.")
    ] = 1,
    model: Model = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps embedded corpora.", show_default="eval in the home folder")
    ] = None,
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also each question with its answer.")] = False,
    as_json: Json = False,
    save: Save = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page with charts to this file.")] = None,
) -> None:
    """Answers right, F1 and exact match, citations, what is declined, and time, of each way of answering."""
    from rag.console import Output
    from rag.eval.answers.articles import listed
    from rag.eval.answers.page import write_page
    from rag.eval.answers.run import AnswersEval, eval_answers
    from rag.eval.answers.table import deliver

    named = tuple(title.strip() for title in (articles or "").split(",") if title.strip())
    if hold_out is not None:
        named += listed(hold_out)
    asked = AnswersEval(dataset, collection, questions, seed, named, oracle, variants, at_once, cache)
    report = eval_answers(settings_of(ctx, model=model), asked, Output().note)
    deliver(report, as_json=as_json, save=save, rows=verbose)
    if html is not None:
        write_page(report, html)
