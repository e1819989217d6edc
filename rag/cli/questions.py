"""`rag ask`, `rag summarise` and `rag search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rag.cli.common import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_NOT_ANSWERED,
    Collection,
    Json,
    Model,
    Quiet,
    Quote,
    States,
    UseCache,
    cancel_on_interrupt,
    opened,
    seconds_of,
    text_of,
)
from rag.cli.filters import DocumentOnly, MetaOnly, PathOnly, Since, TypeOnly, Until, Where

if TYPE_CHECKING:
    from rag.console import AnswerView, Output

app = typer.Typer()


@app.command()
def ask(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(help="The question; - reads it from stdin.")],
    collection: Collection = None,
    model: Model = None,
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", help="Passages to read.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 takes the likeliest token.")] = None,
    states: States = None,
    target_ttft: Annotated[
        str | None,
        typer.Option(
            help="Time to the first token, like 300ms: passages, compression and repair are chosen to meet it."
        ),
    ] = None,
    document: DocumentOnly = None,
    path: PathOnly = None,
    media_type: TypeOnly = None,
    since: Since = None,
    until: Until = None,
    meta: MetaOnly = None,
    *,
    quote: Quote = False,
    cache: UseCache = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer a question from the documents, with sources."""
    from rag.console import AnswerView
    from rag.question import checked_question

    flags = {"model": model, "top_k": top_k, "max_new_tokens": max_new_tokens, "temperature": temperature}
    flags |= {"states": states, "answer_cache": None if cache else "off", "quote": quote or None}
    text = checked_question(text_of(question))
    target_s = None if target_ttft is None else seconds_of("--target-ttft", target_ttft)
    with opened(ctx, json, quiet, **flags) as (rag, output):
        view = AnswerView(output)
        where = Where(document, path, media_type, since, until, meta).filter(rag, collection)
        if not rag.remembers(text, collection=collection, where=where):
            rag.warm_up()
        with cancel_on_interrupt(output, "stopping") as cancel:
            view.show(rag.ask(text, collection=collection, where=where, target_ttft_s=target_s, cancel=cancel))
    _end(view, output)


@app.command()
def summarise(
    ctx: typer.Context,
    documents: Annotated[
        list[str], typer.Argument(help="Names, paths, ids or beginnings of ids.", metavar="DOCUMENT...")
    ],
    collection: Collection = None,
    length: Annotated[
        Literal["short", "medium", "long"],
        typer.Option("--length", "-l", help="At most 5, 10 or 24 lines of each document."),
    ] = "medium",
    model: Model = None,
    *,
    own_words: Annotated[
        bool, typer.Option("--own-words", help="Have the model say it, where what it says can be verified.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what documents say in the main: the sentences that carry most, word for word, with their places."""
    from rag.console import AnswerView
    from rag.long.summary import MAX_DOCUMENTS

    if len(documents) > MAX_DOCUMENTS:
        raise typer.BadParameter(f"at most {MAX_DOCUMENTS} documents are summarised at once")
    with opened(ctx, json, quiet, model=model) as (rag, output):
        found = [rag.find(name, collection) for name in documents]
        view = AnswerView(output)
        with cancel_on_interrupt(output, "stopping; press Ctrl-C again to quit") as cancel:
            view.show(rag.summarise(found, length=length, own_words=own_words, cancel=cancel))
        if cancel.is_set():
            output.say("the same command begins again; passages that the model has read are kept")
    _end(view, output)


@app.command()
def search(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(help="What to look for; - reads it from stdin.")],
    collection: Collection = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Passages to show.")] = 10,
    document: DocumentOnly = None,
    path: PathOnly = None,
    media_type: TypeOnly = None,
    since: Since = None,
    until: Until = None,
    meta: MetaOnly = None,
    *,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the passages that bear on a question, without asking the model."""
    with opened(ctx, json, quiet) as (rag, output):
        where = Where(document, path, media_type, since, until, meta).filter(rag, collection)
        passages = rag.search(text_of(question), collection=collection, limit=limit, where=where)
        if json:
            for passage in passages:
                output.json(passage)
        else:
            from rag.console import print_passages

            print_passages(output.out, passages)
        if not passages:
            why = "no document passes the filter" if where else "nothing found"
            output.say(f"{why}; `rag list` shows what there is")
            raise typer.Exit(EXIT_NOT_ANSWERED)


def _end(view: AnswerView, output: Output) -> None:
    """Ends a command with what became of its answer."""
    if view.error is not None:
        if not output.as_json:
            output.fail(view.error)
        raise typer.Exit(EXIT_ERROR)
    if view.done is None or view.done.finish_reason == "cancelled":
        raise typer.Exit(EXIT_INTERRUPTED)
    if not view.done.answered:
        raise typer.Exit(EXIT_NOT_ANSWERED)
