"""The machine that a measurement was made on: what it is, and what it was measured to do in the same run."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch

    from serving.engine.quantize import WeightFormat

_REPEATS = 7
PRODUCT_SIZE = 4096  # large enough that the products, not their start-up, take the time
PRODUCT_ROWS = 512
_LEAST_READ_BYTES = 256 << 20
_CACHES_READ = 8  # the buffer's size in last-level caches, so that hardly anything is found there again
_BUSY = 0.25  # load per core, of others, from which figures are not to be trusted


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures depend on.

    Attributes:
        memory_gb: of the whole machine.
        device: where the model runs, `cpu` or the GPU's name.
        threads: CPU threads that PyTorch computes with.
        load: runnable processes of the last minute, before the measurement began.
        read_gb_per_s: measured speed of reading memory once, from the first byte to the last.
        gflop_per_s: measured speed of large matrix products by the format of the numbers, 2 operations for each pair.
    """

    cpu: str
    cores: int
    memory_gb: float
    torch: str
    device: str
    threads: int
    load: float
    read_gb_per_s: float | None = None
    gflop_per_s: dict[str, float] | None = None

    def differences(self, other: Machine) -> list[str]:
        """In what two machines differ, measured speeds left out."""
        names = ("cpu", "cores", "torch", "device", "threads")
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in names}
        return [f"{name} was {old}, is {new}" for name, (old, new) in pairs.items() if old != new]

    @property
    def summary(self) -> str:
        """One line for a person."""
        parts = [f"{self.cpu}, {self.cores} cores, {self.memory_gb:.0f} GB, torch {self.torch}, {self.device}"]
        parts.append(f"{self.threads} threads")
        if self.read_gb_per_s is not None:
            parts.append(f"reads {self.read_gb_per_s:.1f} GB/s")
        rates = self.gflop_per_s or {}
        parts += [f"{name} products {rate:,.0f} GFLOP/s" for name, rate in rates.items()]
        return ", ".join(parts)

    @property
    def warnings(self) -> tuple[str, ...]:
        """That others were using the machine, if they were."""
        if self.load < _BUSY * self.cores:
            return ()
        return (f"the machine was busy: load {self.load:.1f} on {self.cores} cores before the measurement began",)


def describe_machine(device: torch.device | None = None) -> Machine:
    """What the machine is, without measuring it."""
    import torch

    is_gpu = device is not None and device.type == "cuda"
    return Machine(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=round(_memory_bytes() / 1e9, 1),
        torch=str(torch.__version__),
        device=torch.cuda.get_device_name(device) if is_gpu else "cpu",
        threads=torch.get_num_threads(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
    )


def measure_machine(device: torch.device, formats: Iterable[WeightFormat]) -> Machine:
    """What the machine is, and how fast it reads memory and multiplies matrices in each format."""
    from dataclasses import replace

    described = describe_machine(device)
    rates = {str(weight_format): matmul_gflop_per_s(device, weight_format) for weight_format in formats}
    return replace(described, read_gb_per_s=read_gb_per_s(device), gflop_per_s=rates)


def read_gb_per_s(device: torch.device) -> float:
    """Memory bandwidth of a plain read: the largest value of a buffer far larger than the caches."""
    import torch

    num_bytes = max(_LEAST_READ_BYTES, _CACHES_READ * _last_level_cache_bytes())
    buffer = torch.ones(num_bytes // 4, dtype=torch.float32, device=device)
    return num_bytes / 1e9 / best_s(buffer.amax)


def matmul_gflop_per_s(device: torch.device, weight_format: WeightFormat) -> float:
    """Speed of large products by the fastest of PyTorch's operators for numbers of a format.

    Raises:
        ValueError: the format is not that of numbers which are multiplied.
    """
    import torch

    from serving.engine.quantize import WeightFormat

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, generator=generator).to(device)
    x = torch.randn(PRODUCT_ROWS, PRODUCT_SIZE, generator=generator).to(device)
    if weight_format is WeightFormat.INT8:
        seconds = min(best_s(product) for product in _int8_products(x, weight))
    elif weight_format.bits is None:
        seconds = min(best_s(product) for product in _float_products(x, weight, weight_format.activation_dtype))
    else:
        raise ValueError(f"{weight_format} numbers are not multiplied as they are")
    return 2 * PRODUCT_ROWS * PRODUCT_SIZE * PRODUCT_SIZE / 1e9 / seconds


def _float_products(x: torch.Tensor, weight: torch.Tensor, dtype: torch.dtype) -> list[Callable[[], torch.Tensor]]:
    """Ways to multiply numbers of a format, as our own layers and as those of the embedding model do."""
    import torch

    from ingest.embed.linear import Linear
    from serving.engine.quantize import FloatLinear

    x = x.to(dtype)
    plain = FloatLinear(weight, None, dtype)
    products: list[Callable[[], torch.Tensor]] = [lambda: plain(x)[0, 0]]
    if x.device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        packed = Linear(weight, torch.zeros(len(weight)), dtype)
        products.append(lambda: packed(x)[0, 0])
    return products


def _int8_products(x: torch.Tensor, weight: torch.Tensor) -> list[Callable[[], torch.Tensor]]:
    """Ways to multiply 8-bit integers that run here."""
    import torch

    x, weight = (x * 30).clamp(-127, 127).to(torch.int8), (weight * 30).clamp(-127, 127).to(torch.int8)
    packed = _packed_by_onednn(weight)
    products: list[Callable[[], torch.Tensor]] = [lambda: torch._int_mm(x, weight.t())[0, 0]]  # noqa: SLF001
    if packed is not None:
        shifted, scale = (x.to(torch.int16) + 128).to(torch.uint8), torch.ones(len(weight))
        zero = torch.zeros(len(weight), dtype=torch.int32)
        given: tuple[Any, ...] = (None, 1.0, 0, torch.bfloat16, "none", [], "")
        linear = torch.ops.onednn.qlinear_pointwise
        products.append(lambda: linear(shifted, 1.0, 128, packed, scale, zero, *given)[0, 0])
    return products


def _packed_by_onednn(weight: torch.Tensor) -> torch.Tensor | None:
    """int8 weights in oneDNN's own layout; None where it is missing."""
    import torch

    try:
        packed: torch.Tensor = torch.ops.onednn.qlinear_prepack(weight, None)
    except (RuntimeError, AttributeError):
        return None
    return packed


def best_s(compute: Callable[[], torch.Tensor]) -> float:
    """Shortest time to a result that can be looked at, on a GPU a finished one: a limit is the best a machine shows."""
    import torch

    times = []
    with torch.inference_mode():
        compute().item()
        for _ in range(_REPEATS):
            started = time.perf_counter()
            compute().item()
            times.append(time.perf_counter() - started)
    return min(times)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


def _last_level_cache_bytes() -> int:
    """From Linux's `/sys`; 0 where that does not say."""
    sizes = [_read_size(file) for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max(sizes, default=0)


def _read_size(file: Path) -> int:
    text = file.read_text(encoding="ascii").strip()
    return int(text.removesuffix("K").removesuffix("M")) << {"K": 10, "M": 20}.get(text[-1:], 0)
