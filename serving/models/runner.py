"""Which code runs a model, in which weight format: the project's own kernels where they can, PyTorch elsewhere."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from serving.engine.kernels.build import KernelsUnavailableError
from serving.engine.kernels.library import load_kernels
from serving.engine.kernels.model import KernelModel, supports
from serving.engine.model import Model
from serving.engine.quantize import WeightFormat, packed_bf16_works

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.engine.batch import Runner
    from serving.engine.kernels.library import Kernels
    from serving.engine.kvcache import KVFormat
    from serving.models.prepared import PreparedModel
    from serving.models.weights import WeightSource

    Notify = Callable[[str], None]

logger = logging.getLogger(__name__)

_FEW_BITS = 7.0  # per weight on average: a file of so few is taken over in 4 bits as it is


@dataclass(frozen=True, slots=True)
class RunnerChoice:
    """How a model is going to be run.

    Attributes:
        kernels: None where PyTorch's operators do the work.
        reason: why they do although kernels would have been used; empty otherwise.
    """

    device: torch.device
    weight_format: WeightFormat
    kernels: Kernels | None
    reason: str = ""


def choose_runner(
    model: PreparedModel, weight_format: str, device: str, notify: Notify, *, use_kernels: bool = True
) -> RunnerChoice:
    """How to run a model on this machine.

    Args:
        weight_format: one of `WeightFormat`; or `auto`: the file's own bits, 4 or 8, where there are kernels, else
            bf16 where the processor or GPU computes in it, else int8.
        device: `cpu`, `cuda`, or `auto` for the GPU where there is one.
        use_kernels: False leaves all to PyTorch.
    """
    place = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))
    kernels, reason = None, "switched off"
    if use_kernels and (weight_format == "auto" or WeightFormat(weight_format).bits is not None):
        kernels, reason = _find_kernels(model, place, notify)
    if weight_format != "auto":
        chosen = WeightFormat(weight_format)
    elif kernels is not None:
        is_small = model.is_in_4_bits and (model.mean_bits(WeightFormat.INT4) or 8) < _FEW_BITS
        chosen = WeightFormat.INT4 if is_small else WeightFormat.INT8
    else:
        chosen = WeightFormat.BF16 if place.type == "cuda" or packed_bf16_works() else WeightFormat.INT8
    return RunnerChoice(place, chosen, kernels, reason if weight_format == "auto" or chosen.bits is not None else "")


def make_runner(
    choice: RunnerChoice,
    model: PreparedModel,
    source: WeightSource,
    kv_format: KVFormat,
    on_progress: Callable[[int, int], None],
) -> Runner:
    """Loads a model's weights into what was chosen to run it.

    Raises:
        ModelFormatError: weights are missing or of other shapes than the configuration says.
    """
    if choice.kernels is not None:
        return KernelModel(model.config, source, choice.weight_format, choice.kernels, on_progress, kv_format=kv_format)
    return Model(model.config, source, choice.weight_format, choice.device, on_progress, kv_format=kv_format)


def _find_kernels(model: PreparedModel, place: torch.device, notify: Notify) -> tuple[Kernels | None, str]:
    if place.type != "cpu":
        return None, "the model runs on a GPU"
    if not supports(model.config):
        return None, "the model's sizes are no multiples of 32"
    try:
        return load_kernels(model.folder.parents[1] / "kernels", notify), ""
    except KernelsUnavailableError as error:
        logger.info("the kernels do not run here: %s", error)
        return None, str(error)
