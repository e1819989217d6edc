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
Shape = Annotated[
    str | None,
    typer.Option(help=f"Models: bundled, or random weights in the shape qwen2.5-0.5b or qwen2.5-1.5b; {_COMMA}."),
]
Peers = Annotated[
    str, typer.Option(help=f"Other engines: transformers, transformers float32, llama.cpp; {_COMMA}, or none.")
]
Kernels = Annotated[
    bool | None,
    typer.Option("--kernels/--no-kernels", help="Run ours on its own kernels, or on PyTorch's operators."),
]
_TTFT_GROUPS = "engine, ask, store"
_SEARCH_GROUPS = "vectors, asked"
_GROUPS = "prefill, decode, ttft, concurrent, prefix, lookup, memory, profile"


@app.command()
def engine(
    ctx: typer.Context,
    formats: Annotated[
        str, typer.Option(help=f"Weight formats: int4, int8, bf16, float32; {_COMMA}.")
    ] = "int4,int8,bf16",
    shape: Shape = None,
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
    peers: Peers = "transformers,llama.cpp",
    model: Model = None,
    *,
    kernels: Kernels = None,
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
        peers=_peers(peers),
    )
    report = bench_engine(settings_of(ctx, model=model, kernels=kernels), bench, Output().note)
    deliver(report, as_json=as_json, save=save, rows=True)


@app.command()
def ttft(
    ctx: typer.Context,
    shape: Shape = None,
    only: Annotated[str | None, typer.Option(help=f"What to measure: {_TTFT_GROUPS}; {_COMMA}.")] = None,
    passages: Annotated[str, typer.Option(help=f"Passages in a prompt; {_COMMA}.")] = "4,8",
    passage_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a passage, its heading included.")] = 256,
    repair: Annotated[
        str, typer.Option(help=f"First tokens of a reused passage, and share of the others, computed anew; {_COMMA}.")
    ] = "0,8,16,32,16+0.15",
    states_format: Annotated[str, typer.Option(help="How states are kept: int8 or bf16.")] = "int8",
    kept: Annotated[int, typer.Option(min=1, help="Passages among whose kept states one is looked up.")] = 10_000,
    repeats: Annotated[int, typer.Option(min=1, help="Prompts for each figure, which is the median.")] = 5,
    peers: Peers = "transformers,llama.cpp",
    model: Model = None,
    *,
    kernels: Kernels = None,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Time to the first token with kept states of passages, in memory and on disk, and without them.

    Prompts are drawn anew for every repeat, the same for all, and none begins as another does but for the instructions.

    The limit is what it takes to read the states from memory once, and to compute with nothing before them the tokens
    that are computed anyway: numbers, question and template, and those that are repaired.
    """
    from serving.threads import share_cores

    share_cores()
    from rag.bench.render import deliver
    from rag.bench.ttft.bench import bench_ttft
    from rag.bench.ttft.plan import GROUPS, TtftBench, parse_repair
    from rag.console import Output

    bench = TtftBench(
        shapes=_words(shape or ""),
        groups=GROUPS if only is None else _words(only),
        passages=_numbers("--passages", passages),
        passage_tokens=passage_tokens,
        repairs=tuple(parse_repair(word) for word in _words(repair)),
        states_format=states_format,
        repeats=repeats,
        peers=_peers(peers),
        num_kept=kept,
    )
    report = bench_ttft(settings_of(ctx, model=model, kernels=kernels), bench, Output().note)
    deliver(report, as_json=as_json, save=save, rows=True)


@app.command()
def plan(
    ctx: typer.Context,
    targets: Annotated[
        str, typer.Option(help=f"Times to the first token, in milliseconds; {_COMMA}.")
    ] = "100,200,300,500,1000",
    questions: Annotated[int, typer.Option(min=1, help="Questions for each target.")] = 20,
    data: Annotated[Path | None, typer.Option(help="Questions, in our format or SQuAD's.")] = None,
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Documents to ask.")] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", min=1, help="Passages to choose from.")] = None,
    model: Model = None,
    *,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Whether answers planned for a time to the first token meet it, and how far predictions are off."""
    from rag.bench.planned import PlanBench, bench_plan
    from rag.bench.render import deliver
    from rag.console import Output

    bench = PlanBench(_numbers("--targets", targets), questions, collection, data, top_k)
    report = bench_plan(settings_of(ctx, model=model), bench, Output().note)
    deliver(report, as_json=as_json, save=save, rows=as_json)


@app.command()
def embed(
    ctx: typer.Context,
    text: Annotated[
        Path | None, typer.Option(help="File or folder to cut passages from, rather than the demo's documents.")
    ] = None,
    passages: Annotated[int, typer.Option(min=1, help="Passages that are embedded in bulk.")] = 200,
    questions: Annotated[int, typer.Option(min=2, help="Questions that are embedded one by one.")] = 50,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of the bulk; figures are medians.")] = 3,
    peers: Annotated[str, typer.Option(help="sentence-transformers, or none.")] = "sentence-transformers",
    *,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Passages and questions to vectors: speed, and likeness to float32.

    The limit is what the passages' matrix products take at the speed of large ones.
    """
    from serving.threads import share_cores

    share_cores()
    from rag.bench.embed import EmbedBench, bench_embed
    from rag.bench.render import deliver
    from rag.console import Output

    bench = EmbedBench(text, passages, questions, repeats, _peers(peers))
    report = bench_embed(settings_of(ctx), bench, Output().note)
    deliver(report, as_json=as_json, save=save)


@app.command()
def search(
    ctx: typer.Context,
    sizes: Annotated[str, typer.Option(help=f"Numbers of synthetic vectors; {_COMMA}.")] = "10000,100000,1000000",
    text: Annotated[
        Path | None, typer.Option(help="Also the passages and questions of a test collection: a BEIR folder or SQuAD.")
    ] = None,
    only: Annotated[str | None, typer.Option(help=f"What to measure: {_SEARCH_GROUPS}; {_COMMA}.")] = None,
    recall: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the 10 nearest that is to be found.")] = 0.95,
    queries: Annotated[int, typer.Option(min=2, help="Questions for each figure.")] = 200,
    hnsw_up_to: Annotated[int, typer.Option(help="Vectors above which HNSW is left out: it takes long to build.")] = (
        100_000
    ),
    asked_chunks: Annotated[int, typer.Option(min=1, help="Chunks of the index that is asked.")] = 100_000,
    peers: Annotated[str, typer.Option(help=f"Plain indexes: FAISS flat, FAISS HNSW; {_COMMA}, or none.")] = (
        "FAISS flat,FAISS HNSW"
    ),
    *,
    as_json: Json = False,
    save: Save = None,
) -> None:
    """Search by vector in collections of many sizes, and what a question costs until its passages are found.

    Synthetic vectors lie as those of text do: few large topics, many small ones, questions near passages. Each
    contender runs in a process of its own. HNSW is made to find at least the share that ours finds.

    The limit is what it takes to read from memory once what ours looks at.
    """
    from serving.threads import share_cores

    share_cores()
    from rag.bench.render import deliver
    from rag.bench.search.bench import bench_search
    from rag.bench.search.plan import GROUPS, SearchBench
    from rag.console import Output

    bench = SearchBench(
        sizes=_numbers("--sizes", sizes),
        text=text,
        groups=GROUPS if only is None else _words(only),
        recall=recall,
        num_queries=queries,
        peers=_peers(peers),
        hnsw_up_to=hnsw_up_to,
        asked_chunks=asked_chunks,
    )
    deliver(bench_search(settings_of(ctx), bench, Output().note), as_json=as_json, save=save, rows=True)


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
    """The settings in force, from what was said before the command's name, and these flags; answers are made anew."""
    from rag.config import load_settings

    flags = {"answer_cache": "off", **flags}
    settings: Settings = ctx.obj.settings(**flags) if ctx.obj is not None else load_settings(None, **flags)
    return settings


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _peers(text: str) -> tuple[str, ...]:
    return () if text == "none" else _words(text)


def _numbers(option: str, text: str) -> tuple[int, ...]:
    words = _words(text)
    if not words or not all(word.isascii() and word.isdecimal() and int(word) > 0 for word in words):
        raise typer.BadParameter(f"{option} takes numbers above 0 with commas between, not {text!r}")
    return tuple(int(word) for word in words)
