"""Two saved results of `rag eval …` compared question by question."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.bench import report as reports
from rag.bench.report import Figure
from rag.errors import RagError
from rag.eval.scores import paired_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rag.bench.report import Report

    Row = Mapping[str, Any]
    Pair = tuple[Row, Row]

MOVED = 20  # questions that are shown
_SCORE = "of 1"
_PERCENT = 100


def diff(before: Report, after: Report, names: tuple[str, str] = ("before", "after")) -> Report:
    """Each figure of both, with the 95% interval of the mean difference; as rows the questions that moved most.

    Only questions that both have are paired, by their ids, and by the variant where there are several.

    Raises:
        RagError: the reports share no question, or hold none.
    """
    pairs = _pairs(before, after)
    if not pairs:
        raise RagError(f"{names[0]} and {names[1]} share no question; compare figures alone with `rag bench diff`")
    plain = reports.diff(before, after, names)
    units = {figure.name: figure.unit for figure in plain.figures}
    paired = {figure.name: figure for variant, found in pairs.items() for figure in _figures(variant, found, units)}
    known = [
        replace(figure, note=paired.pop(figure.name).note) if figure.name in paired else figure
        for figure in plain.figures
    ]
    return replace(
        plain,
        command="eval diff",
        figures=(*known, *paired.values()),
        rows=tuple(_moved(pairs)),
        warnings=(*plain.warnings, *_unpaired(before, after, pairs)),
    )


def _pairs(before: Report, after: Report) -> dict[str, list[Pair]]:
    """The rows of each question in both, by variant; the empty one where there are no variants."""
    earlier = {_key(row): row for row in before.rows if "id" in row}
    pairs: dict[str, list[Pair]] = defaultdict(list)
    for row in after.rows:
        if "id" in row and (old := earlier.get(_key(row))) is not None:
            pairs[_key(row)[0]].append((old, row))
    return dict(pairs)


def _key(row: Row) -> tuple[str, str]:
    return str(row.get("variant", "")), str(row["id"])


def _measures(pairs: Sequence[Pair]) -> list[str]:
    """What is a share, a score or a time in the rows: some may say nothing of it."""
    names = dict.fromkeys(name for _, row in pairs for name in row)
    return [name for name in names if _values(name, pairs)]


def _values(name: str, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """Of each pair that has both; nothing where one row holds something else under the name."""
    found = [(old[name], new[name]) for old, new in pairs if old.get(name) is not None and new.get(name) is not None]
    return found if all(isinstance(value, bool | float) for pair in found for value in pair) else []


def _figures(variant: str, pairs: Sequence[Pair], units: Mapping[str, str]) -> Iterator[Figure]:
    for name in _measures(pairs):
        label = f"{name}, {variant}" if variant else name
        scale = _PERCENT if units.get(label, "").startswith("%") else 1
        values = scale * np.array(_values(name, pairs), np.float64)
        old, new = values.mean(axis=0)
        low, high = paired_interval((values[:, 1] - values[:, 0]).tolist())
        note = f"{new - old:+.4g} [{low:+.4g}, {high:+.4g}]"
        yield Figure(label, units.get(label) or _unit(name), float(new), {"before": float(old)}, note=note)


def _unit(name: str) -> str:
    if name in {"ms", "tokens/s"}:
        return name
    return "s" if name.endswith("_s") else _SCORE


def _moved(pairs: Mapping[str, Sequence[Pair]]) -> list[dict[str, Any]]:
    """The questions whose first measure changed most."""
    moved = []
    for variant, found in pairs.items():
        name = next((name for name in _measures(found) if _unit(name) == _SCORE), None)
        if name is None:
            continue
        for old, new in found:
            if name not in old or name not in new:
                continue
            change = float(new[name]) - float(old[name])
            about = {"variant": variant} if variant else {}
            moved.append(
                {
                    **about,
                    "id": new["id"],
                    "measure": name,
                    "before": float(old[name]),
                    "after": float(new[name]),
                    "change": change,
                    "question": new.get("question", ""),
                }
            )
    moved = [row for row in moved if row["change"]]
    return sorted(moved, key=lambda row: -abs(row["change"]))[:MOVED]


def _unpaired(before: Report, after: Report, pairs: Mapping[str, Sequence[Pair]]) -> list[str]:
    num_shared = sum(map(len, pairs.values()))
    lone = [
        (name, sum("id" in row for row in report.rows) - num_shared)
        for name, report in (("before", before), ("after", after))
    ]
    return [f"only {name}: {count} rows, which are not paired" for name, count in lone if count]
