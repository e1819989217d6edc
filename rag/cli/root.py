"""The command's own options, its groups of commands, and the errors that a person can meet."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer
import typer.core

from rag.bench.cli import app as bench_app
from rag.cli import chat, config, documents, models, product, questions, states, tune
from rag.cli.common import EXIT_ERROR, EXIT_INTERRUPTED, CliContext
from rag.eval.cli import app as eval_app


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


@app.callback()
def _before(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(envvar="RAG_HOME", help="Folder of index, models and settings.", show_default="~/.readonce"),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="Folder of a LoRA adapter for the model; auto for the bundled model's own; none.", show_default="auto"
        ),
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
    ctx.obj = CliContext(home, adapter)


for commands in (documents.app, questions.app, chat.app, product.app):
    app.add_typer(commands)
for name, group in {
    "states": states.app,
    "models": models.app,
    "config": config.app,
    "tune": tune.app,
    "bench": bench_app,
    "eval": eval_app,
}.items():
    app.add_typer(group, name=name)


def main() -> None:
    """The entry point; a reader of stdout that went away ends it quietly."""
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(EXIT_ERROR)
