"""A result of `rag eval retrieval` as one HTML file that needs nothing else."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from rag.eval.page import rendered, write
from rag.eval.retrieval.charts import Bar, Interval, bar_chart, curve_chart, interval_chart, legend
from rag.eval.retrieval.judged import MEASURES, NDCG
from rag.eval.retrieval.measures import RECALL_RANKS
from rag.eval.retrieval.searches import DEPTH, HYBRID
from rag.eval.retrieval.table import compression_rows, values_by_search
from rag.eval.scores import paired_intervals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rag.bench.report import Figure, Report

    Rows = Mapping[str, Sequence[Mapping[str, Any]]]

_WORST = 20


def write_page(report: Report, path: Path) -> None:
    """Writes the page.

    Raises:
        RagError: it cannot be written there.
    """
    write(page(report), path)


def page(report: Report) -> str:
    """Charts of ranking, recall and time, the figures, and the questions that went worst."""
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in report.rows:
        rows[row["variant"]].append(row)
    found = {search: figures for search, figures in values_by_search(report).items() if search in rows}
    bars = [_bar(search, figures) for search, figures in found.items()]
    return rendered(
        "rag.eval.retrieval",
        report=report,
        measures=MEASURES,
        ndcg=NDCG,
        searches=found,
        best={name: max(figures[name].ours or 0.0 for figures in found.values()) for name in MEASURES},
        intervals=Markup(interval_chart(_intervals(rows))),  # noqa: S704 - made of numbers and escaped names
        curves=Markup(curve_chart(_recall_curves(rows), RECALL_RANKS)),  # noqa: S704
        legend=Markup(legend(rows)),  # noqa: S704
        bars=Markup(bar_chart(bars, "ms")),  # noqa: S704
        stages=Markup(legend(dict.fromkeys(name for bar in bars for name, _ in bar.parts))),  # noqa: S704
        compression=compression_rows(report),
        worst=_worst(rows),
    )


def _intervals(rows: Rows) -> list[Interval]:
    scores = np.array([[row[NDCG] for row in ones] for ones in rows.values()]).T
    bounds = paired_intervals(scores)
    return [
        Interval(search, float(mean), low, high)
        for search, mean, (low, high) in zip(rows, scores.mean(axis=0), bounds, strict=True)
    ]


def _recall_curves(rows: Rows) -> dict[str, list[tuple[float, float]]]:
    """Mean recall at every rank."""
    curves = {}
    for search, ones in rows.items():
        found = np.zeros(DEPTH)
        for row in ones:
            for rank in row["ranks"]:
                found[rank - 1] += 1 / row["relevant"] / len(ones)
        curves[search] = [(float(rank), float(value)) for rank, value in enumerate(np.cumsum(found), start=1)]
    return curves


def _bar(search: str, figures: Mapping[str, Figure]) -> Bar:
    medians = {name.removesuffix(" p50"): one.ours or 0.0 for name, one in figures.items() if name.endswith(" p50")}
    late = figures["search p95"].ours or 0.0
    return Bar(search, tuple((name, value) for name, value in medians.items() if name != "search"), late)


def _worst(rows: Rows) -> list[dict[str, Any]]:
    """Questions that went worst by the hybrid, or by whatever search comes first, with their rank by each search."""
    main = HYBRID if HYBRID in rows else next(iter(rows))
    ranks: dict[str, dict[str, int | None]] = defaultdict(dict)
    for search, ones in rows.items():
        for row in ones:
            ranks[row["id"]][search] = row["rank"]
    worst = sorted(rows[main], key=lambda row: row[NDCG])[:_WORST]
    return [{"question": row["question"], "ndcg": row[NDCG], "ranks": ranks[row["id"]]} for row in worst]
