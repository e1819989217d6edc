"""A result of `rag eval answers` as one HTML file that needs nothing else."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from rag.eval.answers.figures import TOTAL_FIGURE, TTFT_FIGURE
from rag.eval.answers.outcome import F1, MEASURES, RIGHT, TOTAL, TTFT
from rag.eval.answers.table import COSTS, right_by_kind, values_by_variant
from rag.eval.page import rendered, write
from rag.eval.retrieval.charts import Bar, Interval, bar_chart, interval_chart, legend
from rag.eval.scores import paired_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rag.bench.report import Figure, Report

    Row = Mapping[str, Any]
    Rows = Mapping[str, Sequence[Row]]

_WORST = 40  # questions that are shown
_JUDGED = 100  # verified citations that are shown


def write_page(report: Report, path: Path) -> None:
    """Writes the page.

    Raises:
        RagError: it cannot be written there.
    """
    write(page(report), path)


def page(report: Report) -> str:
    """Charts of how right the answers are and of time, the figures, what went worst, and what was verified."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in report.rows:
        rows[row["variant"]].append(row)
    found = values_by_variant(report)
    bars = [bar for variant, ones in rows.items() if (bar := _bar(variant, found[variant], ones)) is not None]
    kinds = right_by_kind(report)
    return rendered(
        "rag.eval.answers",
        report=report,
        variants=found,
        measures=[name for name in MEASURES if any(name in figures for figures in found.values())],
        costs=[name for name in COSTS if any(name in figures for figures in found.values())],
        charts=[(name, Markup(interval_chart(items))) for name in (RIGHT, F1) if (items := _intervals(rows, name))],  # noqa: S704 - made of numbers and escaped names
        bars=Markup(bar_chart(bars, "ms")) if bars else "",  # noqa: S704
        parts=Markup(legend(name for name, _ in bars[0].parts)) if bars else "",  # noqa: S704
        kinds=kinds if len(kinds) > 1 else {},
        worst=_worst(rows),
        verified=_verified(rows),
    )


def _intervals(rows: Rows, measure: str) -> list[Interval]:
    items = []
    for variant, ones in rows.items():
        if values := [row[measure] for row in ones if measure in row]:
            items.append(Interval(variant, float(np.mean(values)), *paired_interval(values)))
    return items


def _bar(variant: str, figures: Mapping[str, Figure], rows: Sequence[Row]) -> Bar | None:
    """Median milliseconds of searching, reading and writing; None where no times were taken."""
    timed = [row for row in rows if TTFT in row and TOTAL in row]
    if not timed:
        return None
    parts = [(row["retrieval_s"], row[TTFT] - row["retrieval_s"], row[TOTAL] - row[TTFT]) for row in timed]
    medians = 1000 * np.median(np.array(parts), axis=0)
    late = figures[f"{TOTAL_FIGURE} p95"].ours or 0.0
    names = ("search", f"reading, until the {TTFT_FIGURE}", "writing")
    return Bar(variant, tuple(zip(names, map(float, medians), strict=True)), 1000 * late)


def _worst(rows: Rows) -> list[dict[str, Any]]:
    """Questions that the first variant got wrong, those with the least F1 first, with every variant's answer."""
    answers: dict[str, dict[str, Row]] = defaultdict(dict)
    for variant, ones in rows.items():
        for row in ones:
            answers[row["id"]][variant] = row
    wrong = sorted((row for row in next(iter(rows.values())) if not row[RIGHT]), key=lambda row: row.get(F1, 0.0))
    return [
        {"question": row["question"], "references": row["references"], "answers": answers[row["id"]]}
        for row in wrong[:_WORST]
    ]


def _verified(rows: Rows) -> list[dict[str, Any]]:
    """Verified citations of the first variant, for a person to judge."""
    shown = [
        {"question": row["question"], **citation}
        for row in next(iter(rows.values()))
        for citation in row["citations"]
        if citation["verified"]
    ]
    return shown[:_JUDGED]
