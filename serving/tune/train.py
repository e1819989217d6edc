"""Training: lessons in a drawn order, several to a step, with checkpoints that it goes on from as if never stopped."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from serving.tune.batches import batches_of
from serving.tune.evaluate import evaluate
from serving.tune.matrix import AdaptedMatrix

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from serving.tune.checkpoint import Checkpoints
    from serving.tune.encode import EncodedLesson
    from serving.tune.evaluate import Score
    from serving.tune.layout import LayoutMaker, LessonLayout
    from serving.tune.model import TunedModel
    from serving.tune.schedule import Plan

_BETAS = (0.9, 0.99)
_MAX_NORM = 1.0
_TOLD_EVERY_S, _FIRST_TOLD = 20, (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How training goes.

    Attributes:
        batch_tokens: a step learns from about so many tokens.
        every_minutes: between checkpoints, each with an evaluation.
        num_workers: lessons that are computed at once, each by one thread: on few cores that is faster than to share
            each operation among them.
    """

    plan: Plan
    batch_tokens: int = 2600
    weight_decay: float = 0.0
    seed: int = 0
    every_minutes: float = 10.0
    num_workers: int = 1


@dataclass(slots=True)
class Progress:
    """How far training is.

    Attributes:
        place: among the epoch's batches.
        seconds: of training, in all runs together.
        loss: a running mean over about the last twenty steps.
    """

    step: int = 0
    epoch: int = 0
    place: int = 0
    num_tokens: int = 0
    seconds: float = 0.0
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Held-out lessons and the answer that declines."""

    lessons: Sequence[EncodedLesson]
    decline_ids: Sequence[int]


class Trainer:
    """Trains a model.

    Args:
        report: called with a line now and then.
    """

    def __init__(
        self,
        model: TunedModel,
        maker: LayoutMaker,
        lessons: Sequence[EncodedLesson],
        held: Held | None,
        settings: TrainSettings,
        checkpoints: Checkpoints,
        report: Callable[[str], None],
    ) -> None:
        self.model, self._maker, self._lessons, self._held = model, maker, lessons, held
        self._settings, self._checkpoints, self._report = settings, checkpoints, report
        self._parameters = [part for matrix in model.matrices for part in (matrix.down, matrix.up)]
        self.optimizer = torch.optim.AdamW(
            self._parameters, lr=0.0, betas=_BETAS, weight_decay=settings.weight_decay, fused=True
        )
        self._pool = ThreadPoolExecutor(settings.num_workers, initializer=_one_thread)
        self.progress = Progress()
        self._told = (0, 0.0)
        self._drawn: list[list[int]] = []
        self._epoch_of_batches = -1

    def run(self, cancel: threading.Event | None = None) -> Score | None:
        """Trains to the end of the plan.

        Args:
            cancel: set it to end after the step that is under way.

        Returns:
            The held-out lessons' figures at the end.

        Raises:
            KeyboardInterrupt: it was cancelled; a checkpoint is written.
        """
        self.model.merge()
        self._told = (self.progress.num_tokens, self.progress.seconds)
        last_told = last_kept = time.monotonic()
        while self.share_done < 1.0:
            self.step()
            now = time.monotonic()
            if now - last_told > _TOLD_EVERY_S or self.progress.step in _FIRST_TOLD:
                self._tell()
                last_told = now
            if cancel is not None and cancel.is_set():
                self._checkpoints.save(self)
                raise KeyboardInterrupt
            if now - last_kept > self._settings.every_minutes * 60:
                self._keep()
                last_kept = time.monotonic()
        self._tell()
        return self._keep()

    def score(self) -> Score | None:
        """Figures of the held-out lessons, if there are any."""
        if self._held is None:
            return None
        return evaluate(self.model, self._maker, self._held.lessons, self._held.decline_ids)

    def step(self) -> None:
        """Learns from the next lessons."""
        began = time.monotonic()
        share = self.share_done
        batch = self._next_batch()
        layouts = [self._maker.layout(lesson) for lesson in batch]
        weight = float(sum(layout.weights.sum() for layout in layouts)) or 1.0
        loss = self._gradients(layouts) / weight
        for part in self._parameters:
            if part.grad is not None:
                part.grad /= weight
        torch.nn.utils.clip_grad_norm_(self._parameters, _MAX_NORM)
        for group in self.optimizer.param_groups:
            group["lr"] = self._settings.plan.rate(self.progress.step, share)
        self.optimizer.step()
        self.optimizer.zero_grad()
        list(self._pool.map(AdaptedMatrix.merge, self.model.matrices))
        progress = self.progress
        progress.loss = loss if progress.loss is None else 0.95 * progress.loss + 0.05 * loss
        progress.step += 1
        progress.num_tokens += sum(lesson.num_tokens for lesson in batch)
        progress.seconds += time.monotonic() - began

    def _gradients(self, layouts: list[LessonLayout]) -> float:
        """Adds up the gradients of lessons, always in the same order, and returns the sum of their losses."""

        def of_lesson(layout: LessonLayout) -> tuple[float, tuple[torch.Tensor, ...]]:
            loss = self.model.loss(layout)
            return loss.item(), torch.autograd.grad(loss, self._parameters)

        total = 0.0
        longest_first = sorted(layouts, key=lambda layout: len(layout.token_ids), reverse=True)
        for loss, gradients in self._pool.map(of_lesson, longest_first):
            total += loss
            for part, gradient in zip(self._parameters, gradients, strict=True):
                part.grad = gradient if part.grad is None else part.grad.add_(gradient)
        return total

    def _next_batch(self) -> list[EncodedLesson]:
        batch = [self._lessons[place] for place in self._batches[self.progress.place]]
        self.progress.place += 1
        if self.progress.place == len(self._batches):
            self.progress.place, self.progress.epoch = 0, self.progress.epoch + 1
        return batch

    @property
    def _batches(self) -> list[list[int]]:
        """Of this epoch."""
        if self._epoch_of_batches != self.progress.epoch:
            lengths = [lesson.num_tokens for lesson in self._lessons]
            seed = f"{self._settings.seed} {self.progress.epoch}"
            self._drawn = batches_of(lengths, self._settings.batch_tokens, seed)
            self._epoch_of_batches = self.progress.epoch
        return self._drawn

    @property
    def _epochs_done(self) -> float:
        return self.progress.epoch + self.progress.place / len(self._batches)

    @property
    def share_done(self) -> float:
        """How much of the plan is done."""
        progress = self.progress
        return self._settings.plan.share_done(progress.step, self._epochs_done, progress.seconds / 60)

    def _keep(self) -> Score | None:
        self._checkpoints.save(self)
        score = self.score()
        if score is not None:
            self._report(f"step {self.progress.step}: {score}")
        return score

    def _tell(self) -> None:
        progress, share = self.progress, self.share_done
        left = progress.seconds / share - progress.seconds if share else 0.0
        rate = self._settings.plan.rate(progress.step, share)
        num_tokens, seconds = self._told
        self._told = (progress.num_tokens, progress.seconds)
        speed = (progress.num_tokens - num_tokens) / max(progress.seconds - seconds, 1e-9)
        self._report(
            f"step {progress.step}, epoch {self._epochs_done:.2f}, loss {progress.loss or 0.0:.4f}, rate {rate:.1e}, "
            f"{speed:.0f} tokens/s, {left / 60:.0f} min left"
        )

    def state(self) -> dict[str, object]:
        """What a checkpoint holds beside the tensors."""
        return asdict(self.progress)


def _one_thread() -> None:
    torch.set_num_threads(1)
