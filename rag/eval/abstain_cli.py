"""`rag eval abstain`: how well it is known what the documents do not answer."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from rag.bench.cli import Json, Model, Save, settings_of


def abstain(
    ctx: typer.Context,
    questions: Annotated[int, typer.Option(min=20, help="How many to ask at most, of each kind.")] = 200,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A test collection as for `rag eval retrieval`, SQuAD 2.0 for one; no threshold is written then.",
            show_default="questions made from the collection's sentences",
        ),
    ] = None,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Documents to ask.", show_default="as set")
    ] = None,
    false_rate: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Share of answerable questions that may be declined.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Another one draws other questions.")] = 0,
    only: Annotated[
        list[str] | None, typer.Option(help="With --with-model: an article to ask about; may be given again.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="With --with-model: file for the calibration.", show_default="the model's in the home folder"
        ),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps embedded corpora.", show_default="eval in the home folder")
    ] = None,
    model: Model = None,
    *,
    with_model: Annotated[
        bool,
        typer.Option("--with-model", help="Also ask the model, of --data: retrieval, model, and both together."),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Keep the threshold or the calibration that was chosen.")
    ] = True,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """How often 'not in your documents' is said rightly and wrongly, and what decides it best."""
    from rag.bench.render import deliver
    from rag.console import Output
    from rag.eval.abstain import AbstainEval, eval_abstain
    from rag.eval.abstain_together import TogetherEval, eval_together

    settings, output = settings_of(ctx, model=model), Output()
    if with_model:
        if data is None:
            raise typer.BadParameter("--with-model needs --data")
        together = TogetherEval(data, questions, tuple(only or ()), false_rate, seed, write, out, cache)
        report, chosen = eval_together(settings, together, output.note)
    else:
        if only or out:
            raise typer.BadParameter("--only and --out go with --with-model")
        asked = AbstainEval(questions, data, collection, false_rate, seed, write, cache)
        report, chosen = eval_abstain(settings, asked, output.note)
    deliver(report, as_json=as_json, save=save, rows=True)
    if as_json:
        output.say(chosen)
    else:
        output.out.print(chosen, markup=False)
