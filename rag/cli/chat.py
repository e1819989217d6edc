"""`rag chat`: a conversation."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rag.cli.common import (
    EXIT_ERROR,
    Collection,
    Json,
    Model,
    Quiet,
    Quote,
    States,
    UseCache,
    cancel_on_interrupt,
    opened,
)
from rag.cli.filters import DocumentOnly, MetaOnly, PathOnly, Since, TypeOnly, Until, Where

app = typer.Typer()


@app.command()
def chat(
    ctx: typer.Context,
    collection: Collection = None,
    model: Model = None,
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", help="Passages to read.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 takes the likeliest token.")] = None,
    states: States = None,
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
    """Ask one question after the other; each may lean on those before. Reads lines from the terminal, or from stdin.

    /new begins anew, /sources shows the last passages whole, /quit ends. Ctrl-C stops an answer, Ctrl-D ends.
    """
    from rag.chat import Chat, piped_lines, typed_lines

    flags = {"model": model, "top_k": top_k, "max_new_tokens": max_new_tokens, "temperature": temperature}
    flags |= {"states": states, "answer_cache": None if cache else "off", "quote": quote or None}
    with opened(ctx, json, quiet, **flags) as (rag, output):
        where = Where(document, path, media_type, since, until, meta).filter(rag, collection)
        talk = Chat(rag, output, collection, where, lambda: cancel_on_interrupt(output, "stopping"))
        is_person = sys.stdin.isatty() and output.err.is_terminal
        talk.run(typed_lines(output) if is_person else piped_lines())
        if talk.failed:
            raise typer.Exit(EXIT_ERROR)
