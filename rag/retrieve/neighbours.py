"""Passages of one document that stand side by side, joined for reading."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from indexes.errors import DocumentNotFoundError
from ingest.extract.document import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from indexes import Index
    from indexes.types import Chunk
    from rag.retrieve.ranked import Ranked


def join_neighbours(index: Index, best: Sequence[Ranked], apart: int) -> list[Ranked]:
    """The same with chunks of a document that are at most `apart` places apart as one, and what is between them.

    It stands where the best of them stood, with that one's scores. Its text is that of the document from its start to
    its end, word for word, with nothing repeated.

    Args:
        best: best first.
        apart: 1 joins chunks that follow one another; 2 also those with one between them, and so on.
    """
    places = {each.chunk_id: place for place, each in enumerate(best)}
    runs = [(min(run, key=lambda each: places[each.chunk_id]), run) for run in _runs(best, apart)]
    runs.sort(key=lambda first_and_run: places[first_and_run[0].chunk_id])
    return [first if len(run) == 1 else _joined(index, first, run) for first, run in runs]


def _runs(best: Sequence[Ranked], apart: int) -> list[list[Ranked]]:
    """Those that become one, in the document's order."""
    runs: list[list[Ranked]] = []
    for each in sorted(best, key=lambda each: (each.candidate.hit.document.id, each.candidate.hit.chunk.ordinal)):
        hit = each.candidate.hit
        before = runs[-1][-1].candidate.hit if runs else None
        if before and before.document.id == hit.document.id and hit.chunk.ordinal - before.chunk.ordinal <= apart:
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs


def _joined(index: Index, first: Ranked, run: Sequence[Ranked]) -> Ranked:
    hit = first.candidate.hit
    try:
        text = SEPARATOR.join(element.text for element in index.elements(hit.document))
    except DocumentNotFoundError:  # deleted meanwhile
        return first
    chunk = _one_chunk(text, [each.candidate.hit.chunk for each in run])
    return replace(first, candidate=replace(first.candidate, hit=replace(hit, chunk=chunk)))


def _one_chunk(document_text: str, chunks: Sequence[Chunk]) -> Chunk:
    """The chunk that reaches from the first to the last; it has about as many tokens as it says."""
    start, end = chunks[0].start, max(chunk.end for chunk in chunks)
    num_characters = sum(len(chunk.text) for chunk in chunks)
    return replace(
        chunks[0],
        text=document_text[start:end],
        num_tokens=round(sum(chunk.num_tokens for chunk in chunks) * (end - start) / num_characters),
        start=start,
        end=end,
        pages=_all_pages(chunks),
        section=tuple(os.path.commonprefix([chunk.section for chunk in chunks])),  # noqa: RUF071 - of tuples
    )


def _all_pages(chunks: Iterable[Chunk]) -> tuple[int, ...]:
    return tuple(sorted({page for chunk in chunks for page in chunk.pages}))
