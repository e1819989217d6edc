"""`rag eval …`: how well questions are answered, and what rounding the model or reusing states costs."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from rag.bench.cli import Json, Model, Save, settings_of
from rag.eval.abstain_cli import abstain
from rag.eval.answers.cli import answers
from rag.eval.citations_cli import citations

app = typer.Typer(help="Measure the quality of answers, of weight formats and of reused states.", no_args_is_help=True)
app.command()(answers)
app.command()(abstain)
app.command()(citations)

_COMMA = "several with commas between"
_SEARCHES = "bm25, dense, hybrid, rrf"


@app.command()
def quantization(
    ctx: typer.Context,
    text: Annotated[
        Path | None, typer.Option(help="File of running text to predict.", show_default="the demo's documents")
    ] = None,
    formats: Annotated[str, typer.Option(help=f"Weight formats: int8, int4, bf16, float32; {_COMMA}.")] = "int8,int4",
    kv_formats: Annotated[str, typer.Option(help=f"Formats of key/value states: auto, int8; {_COMMA}.")] = "auto",
    tokens: Annotated[int, typer.Option(min=32, help="Tokens of the text to read.")] = 4096,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each speed; figures are medians.")] = 3,
    model: Model = None,
    *,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Perplexity, KL divergence, first choices, memory and speed of each weight format, beside float32 and bf16."""
    from rag.bench.render import deliver
    from rag.console import Output
    from rag.eval.quantization import QuantizationEval, eval_quantization

    asked = QuantizationEval(_words(formats), _words(kv_formats), text, tokens, repeats=repeats)
    report = eval_quantization(settings_of(ctx, model=model), asked, Output().note)
    deliver(report, as_json=as_json, save=save, rows=True, figures=False)


@app.command()
def fidelity(
    ctx: typer.Context,
    questions: Annotated[int, typer.Option(min=1, help="How many to ask.")] = 40,
    data: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of questions with known answers: SQuAD's format, or as for `rag eval answers`.",
            show_default="made from the collection's sentences",
        ),
    ] = None,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Documents to ask.", show_default="as set")
    ] = None,
    passages: Annotated[
        int | None, typer.Option(min=1, max=100, help="Passages for each question.", show_default="top_k")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one draws other questions.")] = 0,
    model: Model = None,
    *,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Keep the chosen setting for the model in config.toml.")
    ] = True,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Answers from reused passage states beside those of full prefill, and the repair that the model needs."""
    from rag.bench.render import deliver
    from rag.console import Output
    from rag.eval.fidelity import FidelityEval, eval_fidelity

    asked = FidelityEval(questions, data, collection, passages, seed, write)
    report, chosen = eval_fidelity(settings_of(ctx, model=model), asked, Output().note)
    deliver(report, as_json=as_json, save=save, rows=True, figures=False)
    if as_json:
        Output().say(chosen)
    else:
        Output().out.print(chosen, markup=False)


@app.command()
def retrieval(
    ctx: typer.Context,
    dataset: Annotated[
        Path, typer.Argument(help="Folder in BEIR's layout, or JSON file in SQuAD's format; see the README for others.")
    ],
    questions: Annotated[int, typer.Option(min=1, help="How many to ask at most.")] = 1000,
    seed: Annotated[int, typer.Option(help="Another one draws other questions.")] = 0,
    only: Annotated[str | None, typer.Option(help=f"Searches to compare: {_SEARCHES}; {_COMMA}.")] = None,
    rerankers: Annotated[
        str | None,
        typer.Option(
            help=f"Rerankers to compare: late, llm, cross-encoder=PATH; {_COMMA}, or none.", show_default="as set"
        ),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps embedded corpora.", show_default="eval in the home folder")
    ] = None,
    *,
    compression: Annotated[
        bool,
        typer.Option("--compression/--no-compression", help="Also what compression keeps, where answers are known."),
    ] = True,
    titles: Annotated[bool, typer.Option("--titles/--no-titles", help="Documents keep their titles.")] = True,
    as_json: Json = False,
    save: Save = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page with charts to this file.")] = None,
) -> None:
    """Ranking, and time of each stage, of full text, vectors, both together and rerankers, on a test collection."""
    from rag.console import Output
    from rag.eval.retrieval.page import write_page
    from rag.eval.retrieval.run import RetrievalEval, eval_retrieval
    from rag.eval.retrieval.table import deliver

    named = None if rerankers is None else () if rerankers == "none" else _words(rerankers)
    asked = RetrievalEval(dataset, questions, seed, _words(only or ""), named, compression, titles, cache)
    report = eval_retrieval(settings_of(ctx), asked, Output().note)
    deliver(report, as_json=as_json, save=save)
    if html is not None:
        write_page(report, html)


@app.command("follow-ups")
def follow_ups(
    ctx: typer.Context,
    data: Annotated[
        Path | None, typer.Option(help="JSON file of questions in SQuAD's format, to be searched for as follow-ups.")
    ] = None,
    questions: Annotated[int, typer.Option(min=1, help="How many of each kind.")] = 100,
    seed: Annotated[int, typer.Option(help="Another one draws other questions.")] = 0,
    model: Model = None,
    *,
    with_model: Annotated[bool, typer.Option("--with-model", help="Also search for what the model restates.")] = False,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Keep what was found of the model in config.toml.")
    ] = True,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Whether the model can restate follow-up questions; with --data, what is found for them, and for joined ones."""
    from rag.bench.render import deliver
    from rag.console import Output
    from rag.eval.follow_ups import FollowUpEval, eval_follow_ups

    asked = FollowUpEval(data, questions, seed, with_model, write)
    report, found = eval_follow_ups(settings_of(ctx, model=model), asked, Output().note)
    deliver(report, as_json=as_json, save=save)
    if as_json:
        Output().say(found)
    else:
        Output().out.print(found, markup=False)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="A result kept with --save.", metavar="A")],
    after: Annotated[Path, typer.Argument(help="Another one, which counts as ours.", metavar="B")],
    *,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Two saved results question by question: each difference with its 95% interval, and the questions that moved."""
    from rag.bench.render import deliver
    from rag.bench.report import Report
    from rag.eval.diff import diff as compare

    report = compare(Report.load(before), Report.load(after), (str(before), str(after)))
    deliver(report, as_json=as_json, save=save, rows=True)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
