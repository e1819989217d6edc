"""`rag states …`: what is kept of passages that were read."""

from __future__ import annotations

from collections import Counter

import typer

from rag.cli.common import EXIT_INTERRUPTED, Collection, Json, Model, Quiet, cancel_on_interrupt, opened

app = typer.Typer(help="The states of passages: read once, kept, and reused for every question.", no_args_is_help=True)


@app.command()
def show(ctx: typer.Context, *, json: Json = False) -> None:
    """Show how much is kept, of which collections, and how the model in use is given it."""
    from rag.overview import print_states

    with opened(ctx, json) as (rag, output):
        kept = rag.status().states
        documents = Counter(owner.collection for owner in rag.states.owners())
        reuse = rag.settings.reuse_for(rag.model)
        if json:
            output.json({"kept": kept, "documents": documents, "reuse": reuse})
        else:
            print_states(output.out, kept, documents, reuse)


@app.command()
def compute(
    ctx: typer.Context, collection: Collection = None, model: Model = None, *, json: Json = False, quiet: Quiet = False
) -> None:
    """Read all passages of a collection that were not read yet, and keep their states."""
    from rag.progress import IngestView

    with opened(ctx, json, quiet, model=model) as (rag, output):
        view = IngestView(output)
        with cancel_on_interrupt(output, "stopping after this passage; press Ctrl-C again to quit") as cancel:
            view.show(rag.compute_states(collection, cancel))
        if cancel.is_set():
            output.say("what was computed stays; run the same command again to go on")
            raise typer.Exit(EXIT_INTERRUPTED)


@app.command()
def clear(ctx: typer.Context, collection: Collection = None) -> None:
    """Delete the kept states of a collection; without one, all of them. Questions make them anew."""
    from rag.states import clear as clear_states

    with opened(ctx) as (rag, output):
        num_documents = clear_states(rag.states, collection)
        output.out.print(f"deleted the states of {num_documents} documents", markup=False)
