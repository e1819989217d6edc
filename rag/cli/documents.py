"""`rag ingest`, `list`, `show`, `delete`: the documents."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.common import (
    EXIT_INTERRUPTED,
    EXIT_SOME_FAILED,
    Collection,
    Json,
    Quiet,
    States,
    cancel_on_interrupt,
    opened,
)
from rag.cli.filters import MetaGiven, metadata_of

if TYPE_CHECKING:
    from indexes.types import Document

app = typer.Typer()


@app.command()
def ingest(
    ctx: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders.", metavar="PATH...")] = None,
    collection: Collection = None,
    chunk_tokens: Annotated[int | None, typer.Option(help="Longest chunk, in the model's tokens.")] = None,
    chunk_overlap: Annotated[int | None, typer.Option(help="Tokens that neighbouring chunks share.")] = None,
    states: States = None,
    meta: MetaGiven = None,
    recall: Annotated[
        float | None,
        typer.Option(
            help="Share of the nearest vectors that is to be found in a large collection, from now on; 1 compares all.",
            show_default="0.95",
        ),
    ] = None,
    *,
    reembed: Annotated[
        bool, typer.Option("--reembed", help="First make all vectors anew, with the embedding model in use.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read documents into the index. Unchanged files are skipped, changed ones replaced."""
    from rag.progress import IngestView

    if not paths and not reembed:
        raise typer.BadParameter("name at least one file or folder")
    metadata = metadata_of(meta)
    flags = {"chunk_tokens": chunk_tokens, "chunk_overlap": chunk_overlap, "states": states, "vector_recall": recall}
    with opened(ctx, json, quiet, **flags) as (rag, output):
        if reembed:
            count = rag.reembed(lambda done, total: output.note(f"embedding {done} of {total} chunks"))
            output.say(f"{count} chunks embedded anew with {rag.embedder.identity.name}")
        if not paths:
            return
        view = IngestView(output)
        with cancel_on_interrupt(output, "stopping after the current step; press Ctrl-C again to quit") as cancel:
            view.show(rag.ingest(paths, collection=collection, cancel=cancel, metadata=metadata))
        rag.index.settle(lambda name: output.note(f"putting the vectors of '{name}' into lists"))
        finished = view.finished
        if finished is None or finished.cancelled:
            output.say("what was ingested stays; run the same command again to go on")
            raise typer.Exit(EXIT_INTERRUPTED)
        if finished.num_failed:
            raise typer.Exit(EXIT_SOME_FAILED)


@app.command("list")
def list_documents(ctx: typer.Context, collection: Collection = None, *, json: Json = False) -> None:
    """List the documents."""
    from rag.console import size

    with opened(ctx, json) as (rag, output):
        documents = rag.documents(collection)
        if json:
            for document in documents:
                output.json(document)
        elif documents:
            with_metadata = any(document.metadata for document in documents)
            rows = [
                (
                    document.id[:12],
                    document.name,
                    document.collection,
                    str(document.num_pages or ""),
                    str(document.num_chunks),
                    size(document.num_bytes),
                    *((", ".join(f"{name}={value}" for name, value in document.metadata),) if with_metadata else ()),
                )
                for document in documents
            ]
            columns = ("id", "name", "collection", "pages", "chunks", "size", *(("metadata",) if with_metadata else ()))
            output.table(columns, rows, right=("pages", "chunks", "size"))
        else:
            output.say("no documents yet; `rag ingest PATH` reads some")


@app.command()
def show(
    ctx: typer.Context,
    document: Annotated[str, typer.Argument(help="Its id, the beginning of it, or its name.")],
    collection: Collection = None,
    *,
    json: Json = False,
) -> None:
    """Show a document as it was understood: its chunks, with pages and sections."""
    from rag.console import print_document

    with opened(ctx, json) as (rag, output):
        found, chunks = rag.show(document, collection)
        if json:
            output.json({"document": found, "chunks": chunks})
        else:
            print_document(output.out, found, chunks)


@app.command()
def delete(
    ctx: typer.Context,
    documents: Annotated[list[str], typer.Argument(help="Ids, beginnings of ids, or names.", metavar="DOCUMENT...")],
    collection: Collection = None,
    *,
    json: Json = False,
) -> None:
    """Delete documents and everything made from them."""
    with opened(ctx, json) as (rag, output):
        for found in [rag.find(name, collection) for name in documents]:
            deleted: Document = rag.delete(found.id, found.collection)
            if json:
                output.json({"deleted": deleted})
            else:
                output.out.print(f"deleted {deleted.name} ({deleted.num_chunks} chunks)", markup=False)
