"""Two saved results of `rag eval …` compared question by question."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.bench import report as reports
from rag.bench.report import Figure
from rag.errors import RagError
from rag.eval.scores import paired_intervals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rag.bench.report import Report

    Row = Mapping[str, Any]
    Pair = tuple[Row, Row]

MOVED = 20  # questions that are shown
_SCORE = "of 1"


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
    paired = {figure.name: figure for variant, found in pairs.items() for figure in _figures(variant, found)}
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
    """What is a share, a score or a time in every row."""
    return [
        name for name in pairs[0][1] if all(isinstance(row.get(name), bool | float) for pair in pairs for row in pair)
    ]


def _figures(variant: str, pairs: Sequence[Pair]) -> Iterator[Figure]:
    names = _measures(pairs)
    if not names:
        return
    values = np.array([[[row[name] for name in names] for row in pair] for pair in pairs], np.float64)
    intervals = paired_intervals(values[:, 1] - values[:, 0])
    for name, (old, new), (low, high) in zip(names, values.mean(axis=0).T, intervals, strict=True):
        note = f"{new - old:+.4g} [{low:+.4g}, {high:+.4g}]"
        label = f"{name}, {variant}" if variant else name
        yield Figure(label, _unit(name), float(new), {"before": float(old)}, note=note)


def _unit(name: str) -> str:
    return "ms" if name == "ms" else "s" if name.endswith("_s") else _SCORE


def _moved(pairs: Mapping[str, Sequence[Pair]]) -> list[dict[str, Any]]:
    """The questions whose first measure changed most."""
    moved = []
    for variant, found in pairs.items():
        name = next((name for name in _measures(found) if _unit(name) == _SCORE), None)
        if name is None:
            continue
        for old, new in found:
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
