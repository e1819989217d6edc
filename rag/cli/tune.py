"""`rag tune …`: what is learnt from questions and documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rag.cli.common import Collection, Json, Model, Quiet, cancel_on_interrupt, opened

if TYPE_CHECKING:
    from serving.tune.tune import Material

app = typer.Typer(
    help="Tune what finds passages, and the model that reads them, on this machine.", no_args_is_help=True
)

_DEFAULT_EPOCHS = 1.0

Out = Annotated[Path, typer.Option("--out", help="Folder of the adapter, as PEFT writes it.")]
Start = Annotated[
    str | None,
    typer.Option("--from", help="Folder of an adapter to learn on from; auto for the bundled model's own."),
]
Data = Annotated[
    list[Path] | None,
    typer.Option("--data", exists=True, help="Questions to learn from: SQuAD 1.1 or 2.0, PubMedQA, MuSiQue."),
]
Lessons = Annotated[
    list[Path] | None, typer.Option("--lessons", exists=True, help="Lessons as JSON lines, one a line.")
]
Dev = Annotated[
    Path | None, typer.Option("--dev", exists=True, help="Lessons that it is tried on as it learns, likewise.")
]
Constructed = Annotated[int, typer.Option(min=0, help="Lessons made by construction, beside those of files.")]
HoldOut = Annotated[
    list[str] | None, typer.Option("--hold-out", help="Title of an article of --data that is not learnt from.")
]
Rank = Annotated[
    int | None, typer.Option(min=1, help="Of the change to each matrix.", show_default="32, or that of --from")
]
Alpha = Annotated[
    float | None,
    typer.Option(help="The change counts alpha / rank.", show_default="2 * rank, or that of --from"),
]
LearningRate = Annotated[float, typer.Option("--lr", min=0, help="Learning rate at its height.")]
Warmup = Annotated[int, typer.Option(min=0, help="Steps until the learning rate is there.")]
Epochs = Annotated[
    float | None, typer.Option(help="Times to go through the lessons.", show_default=f"{_DEFAULT_EPOCHS:g}")
]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps, instead of epochs.")]
Minutes = Annotated[float | None, typer.Option(help="Minutes of training, instead of epochs.")]
BatchTokens = Annotated[int, typer.Option(min=1, help="Tokens that a step learns from, about.")]
AttentionKind = Annotated[
    Literal["block", "full"], typer.Option(help="Passages read apart, for kept states; or all in one.")
]
Every = Annotated[float, typer.Option(min=0, help="Minutes between checkpoints.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
Seed = Annotated[int, typer.Option(help="Another one draws other orders and beginnings.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")]


@app.command()
def reranker(
    ctx: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", exists=True, help="Test collection to learn from, as `rag eval retrieval` reads it."),
    ] = None,
    collection: Collection = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training, about a second each.")] = 260,
    passages: Annotated[int, typer.Option(min=10, help="Passages of the own collection, at most.")] = 1500,
    seed: Annotated[int, typer.Option(help="Another one draws other questions.")] = 0,
    *,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin with the embedding model, not the head in use.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tune the reranker on questions whose passages are known, or on sentences taken out of your own documents.

    A fifth of it is held out. The result is kept, and used from then on, if it answers these questions better; it
    takes minutes, and Ctrl-C leaves everything as it is.
    """
    from rag.rerank.tune.tune import TuneSettings, tune

    with opened(ctx, json, quiet) as (rag, output):
        own = collection or (None if data else rag.settings.collection)
        settings = TuneSettings(tuple(data or ()), own, passages, steps, fresh, seed)
        found = tune(rag, settings, output.note)
        if json:
            output.json({"comparison": found, "kept": found.helps})
            return
        low, high = found.interval
        before = "" if found.before is None else f", {found.before:.3f} with the reranker so far"
        output.out.print(
            f"MRR@10 on {found.num_questions} held-out questions: {found.hybrid:.3f} without reranking{before}, "
            f"{found.after:.3f} with the new one ({found.gain:+.3f} [{low:+.3f}, {high:+.3f}])",
            markup=False,
        )
        output.out.print(
            f"kept in {rag.settings.head_file}" if found.helps else "not kept: it does not help", markup=False
        )


@app.command()
def adapter(
    ctx: typer.Context,
    out: Out,
    start: Start = None,
    data: Data = None,
    lessons: Lessons = None,
    dev: Dev = None,
    constructed: Constructed = 0,
    hold_out: HoldOut = None,
    model: Model = None,
    rank: Rank = None,
    alpha: Alpha = None,
    learning_rate: LearningRate = 9e-4,
    warmup: Warmup = 30,
    epochs: Epochs = None,
    steps: Steps = None,
    minutes: Minutes = None,
    batch_tokens: BatchTokens = 2600,
    attention: AttentionKind = "block",
    every: Every = 10.0,
    device: Device = "auto",
    seed: Seed = 0,
    *,
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a LoRA adapter with which the model answers from passages, and says where they do not answer.

    It takes an hour on two cores for the bundled model, and minutes on a GPU. Ctrl-C writes a checkpoint from which
    --resume goes on. `rag --adapter FOLDER ask …` uses the result; --from FOLDER trains it further.
    """
    from rag.console import Output
    from serving.models.load import open_model
    from serving.threads import share_cores

    if not (data or lessons or constructed):
        raise typer.BadParameter("there is nothing to learn from: give --data, --lessons or --constructed")
    output = Output(quiet=quiet, as_json=json)
    settings = ctx.obj.settings(model=model)
    share_cores()
    from serving.tune.layout import Attention
    from serving.tune.schedule import Plan
    from serving.tune.start import open_start, shape_from
    from serving.tune.train import TrainSettings
    from serving.tune.tune import TuneSettings, num_workers, tune

    if epochs is steps is minutes is None:
        epochs = _DEFAULT_EPOCHS
    plan = Plan(learning_rate, warmup, steps, epochs, minutes)
    train = TrainSettings(plan, batch_tokens, seed=seed, every_minutes=every, num_workers=num_workers(device))
    base = open_model(settings.model, settings.models_folder, output.note)
    begun = None if start is None else open_start(start, base, settings.models_folder)
    tuning = TuneSettings(train, shape_from(begun, rank, alpha), Attention(attention), device, start=begun)
    material = _material(lessons, dev, data, constructed, hold_out, seed)
    with cancel_on_interrupt(output, "stopping after this step; --resume goes on from there") as cancel:
        score = tune(base, material, out, tuning, output.say, resume=resume, cancel=cancel)
    if json:
        output.json({"adapter": out, "held_out": score})
    else:
        output.out.print(f"{out}" if score is None else f"{out}: {score}", markup=False)


@app.command()
def average(
    ctx: typer.Context,
    adapters: Annotated[list[Path], typer.Argument(exists=True, help="Folders of adapters of one model.")],
    out: Out,
    weights: Annotated[
        str | None, typer.Option(help="What each counts, with commas between.", show_default="all the same")
    ] = None,
    model: Model = None,
    *,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make one adapter of several: of runs that went on from one another, the mean is often better than each.

    It has the rank of the last one.
    """
    from rag.console import Output
    from serving.models.adapter import open_adapter
    from serving.models.load import open_model
    from serving.tune.average import average as averaged

    output = Output(quiet=quiet, as_json=json)
    settings = ctx.obj.settings(model=model)
    try:
        shares = [1.0] * len(adapters) if weights is None else [float(each) for each in weights.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--weights {weights}: numbers with commas between are expected") from error
    base = open_model(settings.model, settings.models_folder, output.note)
    kept = averaged(base, [open_adapter(each, base.config) for each in adapters], shares, out)
    if json:
        output.json({"adapter": out, "kept": kept})
    else:
        output.out.print(f"{out}: at least {kept:.1%} of each matrix's mean", markup=False)


def _material(
    lessons: list[Path] | None,
    dev: Path | None,
    data: list[Path] | None,
    constructed: int,
    hold_out: list[str] | None,
    seed: int,
) -> Material:
    from rag.prompt import MODEL_DECLINES, PROMPT_VERSION
    from serving.tune.lessons import read_lessons
    from serving.tune.tune import Material

    learnt = [lesson for file in lessons or () for lesson in read_lessons(file)]
    if data or constructed:
        from rag.tune import lessons_from

        learnt += lessons_from(data or (), constructed=constructed, seed=seed, hold_out=hold_out or ())
    return Material(learnt, read_lessons(dev) if dev else (), MODEL_DECLINES, PROMPT_VERSION)
