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
_GROUPS = "prefill, decode, ttft, concurrent, prefix, lookup, memory, profile"


@app.command()
def engine(
    ctx: typer.Context,
    formats: Annotated[
        str, typer.Option(help=f"Weight formats: int4, int8, bf16, float32; {_COMMA}.")
    ] = "int4,int8,bf16",
    shape: Annotated[
        str | None,
        typer.Option(help=f"Models: bundled, or random weights in the shape qwen2.5-0.5b or qwen2.5-1.5b; {_COMMA}."),
    ] = None,
    only: Annotated[str | None, typer.Option(help=f"What to measure: {_GROUPS}; {_COMMA}.")] = None,
    prompt_lengths: Annotated[str, typer.Option(help=f"Tokens to prefill; {_COMMA}.")] = "512,2048",
    contexts: Annotated[str, typer.Option(help=f"Tokens before those that are decoded; {_COMMA}.")] = "32,2048",
    at_once: Annotated[str, typer.Option(help=f"Requests under way at the same time; {_COMMA}.")] = "1,4,8,16",
    repeats: Annotated[int, typer.Option(min=1, help="Runs of everything; figures are medians.")] = 3,
    decode_steps: Annotated[int, typer.Option(min=1, help="Tokens decoded in each run.")] = 32,
    question_tokens: Annotated[
        int, typer.Option(min=64, help="Longest prompt whose time to first token is measured.")
    ] = 1024,
    request_tokens: Annotated[int, typer.Option(min=8, help="Longest prompt of those that come together.")] = 384,
    answer_tokens: Annotated[int, typer.Option(min=3, help="Tokens of the answers to them.")] = 64,
    prefix_tokens: Annotated[int, typer.Option(min=16, help="Prompt that comes again with a new question.")] = 1500,
    peers: Annotated[
        str, typer.Option(help=f"Other engines: transformers, transformers float32, llama.cpp; {_COMMA}, or none.")
    ] = "transformers,llama.cpp",
    model: Model = None,
    *,
    kernels: Annotated[
        bool | None,
        typer.Option("--kernels/--no-kernels", help="Run ours on its own kernels, or on PyTorch's operators."),
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Also show where the time of a step goes.")] = False,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Speed and memory of the native engine: one request alone, many at once, and what its caches gain."""
    from rag.bench.engine import bench_engine
    from rag.bench.plan import MEASURED, EngineBench
    from rag.bench.render import deliver
    from rag.console import Output

    groups = MEASURED if only is None else _words(only)
    bench = EngineBench(
        formats=_words(formats),
        shapes=_words(shape or ""),
        groups=tuple(dict.fromkeys((*groups, "profile"))) if profile else groups,
        prompt_lengths=_numbers("--prompt-lengths", prompt_lengths),
        contexts=_numbers("--contexts", contexts),
        at_once=_numbers("--at-once", at_once),
        repeats=repeats,
        decode_steps=decode_steps,
        question_tokens=question_tokens,
        request_tokens=request_tokens,
        answer_tokens=answer_tokens,
        prefix_tokens=prefix_tokens,
        peers=() if peers == "none" else _words(peers),
    )
    report = bench_engine(settings_of(ctx, model=model, kernels=kernels), bench, Output().note)
    deliver(report, as_json=as_json, save=save, rows=True)


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


def settings_of(ctx: typer.Context, **flags: str | bool | None) -> Settings:
    """The settings in force: from what was said before the command's name, and these flags."""
    from rag.config import load_settings

    settings: Settings = ctx.obj.settings(**flags) if ctx.obj is not None else load_settings(None, **flags)
    return settings


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _numbers(option: str, text: str) -> tuple[int, ...]:
    words = _words(text)
    if not words or not all(word.isascii() and word.isdecimal() and int(word) > 0 for word in words):
        raise typer.BadParameter(f"{option} takes numbers above 0 with commas between, not {text!r}")
    return tuple(int(word) for word in words)
