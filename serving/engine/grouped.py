"""Matrices in 8 or 4 bits with one scale for every 32 weights of a row, as GGUF's Q8_0, Q4_0 and Q4_1 have them.

Groups this small keep an outlier from costing the rest of its row: SmolLM2-135M in int8 has a KL divergence of 0.0047
to float32 with one scale a row, 0.0012 with one for every 32 weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GROUP_SIZE = 32
ZERO_POINT = {4: 8, 8: 128}  # the value that stands for 0 where a weight has no mins

_FLOAT16_MAX = torch.finfo(torch.float16).max
_CHUNK_GROUPS = 1 << 13  # 1 MB of float32: what is computed on stays in the cache
_STRETCHES = (0.8, 0.85, 0.9, 0.95, 1.0)  # ranges tried for 4 bits, as shares of the whole one


@dataclass(frozen=True, slots=True)
class GroupedWeight:
    """A matrix in groups of 32 along its rows; columns are padded with zeros to a multiple of 32.

    A weight is `scale * (value - zero)` with a zero point of 128 (8 bits) or 8 (4 bits), or, where there are mins,
    `scale * value + min`.

    Attributes:
        values: uint8, [rows, columns] in 8 bits; in 4 bits [rows, columns / 2], each byte with an even column in its
            low half and the odd one behind it in its high half.
        scales: float16, [rows, columns / 32].
        mins: likewise, or None.
    """

    values: torch.Tensor
    scales: torch.Tensor
    mins: torch.Tensor | None = None

    @property
    def bits(self) -> int:
        """8 or 4."""
        return 8 * self.values.shape[1] // (GROUP_SIZE * self.scales.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns with their padding."""
        return self.scales.shape[0], GROUP_SIZE * self.scales.shape[1]

    @property
    def num_bytes(self) -> int:
        """Of values, scales and mins."""
        return self.values.nbytes + self.scales.nbytes + (0 if self.mins is None else self.mins.nbytes)

    def unpacked(self) -> torch.Tensor:
        """Values one to a byte: uint8 [rows, columns]."""
        if self.bits == 8:  # noqa: PLR2004
            return self.values
        return torch.stack((self.values & 0x0F, self.values >> 4), dim=-1).flatten(1)

    def dequantize(self) -> torch.Tensor:
        """The weights in float32, [rows, columns]."""
        values = self.unpacked().view(len(self.scales), -1, GROUP_SIZE).float()
        scales = self.scales.float().unsqueeze(-1)
        if self.mins is None:
            return (values - ZERO_POINT[self.bits]).mul_(scales).flatten(1)
        return values.mul_(scales).add_(self.mins.float().unsqueeze(-1)).flatten(1)

    def with_mins(self) -> GroupedWeight:
        """The same weights, exactly, with mins instead of a zero point."""
        if self.mins is not None:
            return self
        return GroupedWeight(self.values, self.scales, self.scales * -ZERO_POINT[self.bits])

    def in_8_bits(self) -> GroupedWeight:
        """The same weights, exactly, with one byte for each."""
        if self.bits == 8:  # noqa: PLR2004
            return self
        values = self.unpacked()
        return GroupedWeight(values if self.mins is not None else values + 120, self.scales, self.mins)

    def to(self, device: torch.device) -> GroupedWeight:
        """The same weights on a device."""
        return self.mapped(lambda rows: rows.to(device))

    def rows(self, which: slice | torch.Tensor) -> GroupedWeight:
        """Some of the rows."""
        return self.mapped(lambda part: part[which])

    def mapped(self, change: Callable[[torch.Tensor], torch.Tensor]) -> GroupedWeight:
        """Values, scales and mins each changed in the same way, as by taking or moving rows."""
        mins = None if self.mins is None else change(self.mins)
        return GroupedWeight(change(self.values), change(self.scales), mins)

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Values, scales, and mins where there are any, by name."""
        yield "values", self.values
        yield "scales", self.scales
        if self.mins is not None:
            yield "mins", self.mins


def join_rows(parts: Sequence[GroupedWeight]) -> GroupedWeight:
    """Matrices one below the other, without any rounding: in 8 bits if one is, with mins if one has them."""
    if len({part.bits for part in parts}) > 1:
        parts = [part.in_8_bits() for part in parts]
    if any(part.mins is not None for part in parts):
        parts = [part.with_mins() for part in parts]
    mins = [part.mins for part in parts if part.mins is not None]
    return GroupedWeight(
        torch.cat([part.values for part in parts]),
        torch.cat([part.scales for part in parts]),
        torch.cat(mins) if mins else None,
    )


def quantize_groups(weight: torch.Tensor, bits: int) -> GroupedWeight:
    """Rounds a matrix to groups: 8 bits with a zero point, 4 bits with mins.

    Args:
        weight: any float type, [rows, columns].
        bits: 8 or 4.
    """
    rows, columns = weight.shape
    groups = functional.pad(weight.float(), (0, -columns % GROUP_SIZE)).view(-1, GROUP_SIZE)
    chunks = torch.split(groups, _CHUNK_GROUPS)
    if bits == 8:  # noqa: PLR2004
        rounded = [_round_to_8_bits(chunk) for chunk in chunks]
        return GroupedWeight(
            torch.cat([values for values, _ in rounded]).view(rows, -1),
            torch.cat([scales for _, scales in rounded]).view(rows, -1),
        )
    searched = [_round_to_4_bits(chunk) for chunk in chunks]
    return GroupedWeight(
        pack_4_bits(torch.cat([values for values, _, _ in searched]).view(rows, -1)),
        torch.cat([scales for _, scales, _ in searched]).view(rows, -1),
        torch.cat([mins for _, _, mins in searched]).view(rows, -1),
    )


def pack_4_bits(values: torch.Tensor) -> torch.Tensor:
    """uint8 values below 16, [rows, columns], two to a byte: [rows, columns / 2]."""
    return values[:, 0::2] | (values[:, 1::2] << 4)


def _round_to_8_bits(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and scales of [num_groups, 32] weights, by the largest of each group."""
    scales = _to_float16(groups.abs().amax(dim=1) / 127.0)
    values = torch.round(groups * _inverse(scales.float()).unsqueeze(1)).clamp_(-128, 127)
    return (values + ZERO_POINT[8]).to(torch.uint8), scales


def _round_to_4_bits(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Values, scales and mins of [num_groups, 32] weights: of several ranges, the one with the least squared error.

    Each range is refitted to what was rounded with it by least squares, as llama.cpp's k-quants do.
    """
    least, largest = groups.amin(dim=1), groups.amax(dim=1)
    middle, half = (largest + least) / 2, (largest - least) / 2
    best_error = torch.full_like(least, float("inf"))
    best_scales, best_mins = _to_float16(half / 7.5), _to_float16(least)
    for stretch in _STRETCHES:
        scales, mins = _fitted(groups, half * (stretch / 7.5), middle - half * stretch)
        error = _rounded(groups, scales, mins).mul_(scales.float().unsqueeze(1)).add_(mins.float().unsqueeze(1))
        error = error.sub_(groups).square_().sum(dim=1)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best_scales = torch.where(better, scales, best_scales)
        best_mins = torch.where(better, mins, best_mins)
    return _rounded(groups, best_scales, best_mins).to(torch.uint8), best_scales, best_mins


def _fitted(groups: torch.Tensor, scales: torch.Tensor, mins: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The scales and mins in float16 that suit best what the given ones round to."""
    values = _rounded(groups, scales, mins)
    mean, mean_value = groups.mean(dim=1, keepdim=True), values.mean(dim=1, keepdim=True)
    apart = values - mean_value
    fitted = (apart * (groups - mean)).sum(dim=1) / apart.square().sum(dim=1).clamp_min(1e-12)
    scales = torch.where(fitted > 0, fitted, scales)
    return _to_float16(scales), _to_float16(mean.squeeze(1) - scales * mean_value.squeeze(1))


def _rounded(groups: torch.Tensor, scales: torch.Tensor, mins: torch.Tensor) -> torch.Tensor:
    """Values of 0 to 15, in float32."""
    inverse = _inverse(scales.float()).unsqueeze(1)
    return (groups - mins.float().unsqueeze(1)).mul_(inverse).round_().clamp_(0, 15)


def _inverse(scales: torch.Tensor) -> torch.Tensor:
    return torch.where(scales > 0, 1.0 / scales, 0.0)


def _to_float16(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half()
