"""`rag bench …`: how fast it is on this machine, beside others and beside what the machine allows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rag.config import Settings

app = typer.Typer(help="Measure speed on this machine, beside other engines.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Save = Annotated[Path | None, typer.Option("--save", help="Also keep the report in this file, for `rag bench diff`.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Bundled name, hub name, .gguf file or model folder.")]
_COMMA = "several with commas between"


@app.command()
def engine(
    ctx: typer.Context,
    formats: Annotated[str, typer.Option(help=f"Weight formats: int8, bf16, float32; {_COMMA}.")] = "int8,bf16",
    prompt_lengths: Annotated[str, typer.Option(help=f"Tokens to prefill; {_COMMA}.")] = "512,2048",
    contexts: Annotated[str, typer.Option(help=f"Tokens before those that are decoded; {_COMMA}.")] = "32,2048",
    repeats: Annotated[int, typer.Option(min=1, help="Runs of everything; figures are medians.")] = 5,
    decode_steps: Annotated[int, typer.Option(min=1, help="Tokens decoded in each run.")] = 32,
    question_tokens: Annotated[
        int, typer.Option(min=64, help="Longest prompt whose time to first token is measured.")
    ] = 1024,
    peers: Annotated[
        str, typer.Option(help=f"Other engines; {_COMMA}, or none.")
    ] = "transformers,transformers float32,llama.cpp",
    model: Model = None,
    *,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Prefill and decoding speed, time to first token and memory of the native engine."""
    from rag.bench.engine import EngineBench, bench_engine
    from rag.bench.render import deliver
    from rag.console import Output

    bench = EngineBench(
        formats=_words(formats),
        prompt_lengths=_lengths("--prompt-lengths", prompt_lengths),
        contexts=_lengths("--contexts", contexts),
        repeats=repeats,
        decode_steps=decode_steps,
        question_tokens=question_tokens,
        peers=() if peers == "none" else _words(peers),
    )
    report = bench_engine(settings_of(ctx, model=model), bench, Output().note)
    deliver(report, as_json=as_json, save=save)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="A report kept with --save.", metavar="A")],
    after: Annotated[Path, typer.Argument(help="Another one, which counts as ours.", metavar="B")],
    *,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """How many times as good each figure of B is as that of A."""
    from rag.bench.render import deliver
    from rag.bench.report import Report
    from rag.bench.report import diff as compare

    report = compare(Report.load(before), Report.load(after), (str(before), str(after)))
    deliver(report, as_json=as_json, save=save)


def settings_of(ctx: typer.Context, **flags: str | None) -> Settings:
    """The settings in force: from what was said before the command's name, and these flags."""
    from rag.config import load_settings

    settings: Settings = ctx.obj.settings(**flags) if ctx.obj is not None else load_settings(None, **flags)
    return settings


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _lengths(option: str, text: str) -> tuple[int, ...]:
    words = _words(text)
    if not words or not all(word.isascii() and word.isdecimal() and int(word) > 0 for word in words):
        raise typer.BadParameter(f"{option} takes numbers above 0 with commas between, not {text!r}")
    return tuple(int(word) for word in words)
