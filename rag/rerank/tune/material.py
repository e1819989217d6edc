"""What a head learns from: the passages of an indexed test collection, and questions some of which are held out."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from rag.app import Rag
    from rag.eval.retrieval.dataset import Dataset, Query
    from rag.eval.retrieval.judged import Judge
    from rag.rerank.types import Candidate

_HELD_OUT = 5  # one of so many groups
_CANDIDATES = 32
_MAX_TOKENS = 300


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the chunks that answer it."""

    text: str
    relevant: frozenset[int]


@dataclass(slots=True)
class Material:
    """One indexed collection of passages with its questions.

    Attributes:
        rag: opened on it.
        texts: of chunks, by id.
        training: questions to learn from, by one chunk that answers them.
        held_out: questions about other documents, to be judged by.
    """

    rag: Rag
    texts: dict[int, str]
    training: dict[int, list[Question]]
    held_out: list[Question]
    _found: dict[str, tuple[Candidate, ...]] = field(default_factory=dict)
    _states: dict[int, tuple[Tensor, list[int]]] = field(default_factory=dict)

    @property
    def num_training(self) -> int:
        """How many questions there are to learn from."""
        return sum(map(len, self.training.values()))

    def candidates(self, question: Question) -> tuple[Candidate, ...]:
        """What hybrid retrieval finds for a question, best first."""
        if question.text not in self._found:
            collection = self.rag.settings.collection
            self._found[question.text] = self.rag.retriever.candidates(question.text, collection, _CANDIDATES)
        return self._found[question.text]

    def negatives(self, question: Question, limit: int) -> list[int]:
        """The ids of the first chunks that are found for a question and do not answer it."""
        found = [candidate.hit.chunk_id for candidate in self.candidates(question)]
        return [chunk_id for chunk_id in found if chunk_id not in question.relevant][:limit]

    def compute_states(self, layer: int, on_progress: Callable[[int, int], None]) -> None:
        """Prepares `states`: what the layers that are not tuned make of every passage."""
        import torch

        ids = list(self.texts)
        done = 0
        for rows, encoded in self.rag.embedder.iter_encoded([self.texts[one] for one in ids], layer=layer):
            for place, row in enumerate(rows):
                states = encoded.hidden.of(place)[:_MAX_TOKENS].to(torch.float16)
                self._states[ids[row]] = states.clone(), encoded.ids[place][:_MAX_TOKENS]
            done += len(rows)
            on_progress(done, len(ids))

    def states(self, chunk_ids: Sequence[int]) -> list[tuple[Tensor, list[int]]]:
        """(states [tokens, hidden size], token ids) of each chunk."""
        return [self._states[chunk_id] for chunk_id in chunk_ids]


def material(rag: Rag, dataset: Dataset, judge: Judge, *, limit: int = 4000) -> Material:
    """A dataset whose corpus is in `rag`; one of five of its groups of questions is held out.

    Args:
        limit: questions used at most, drawn at random.
    """
    collection = rag.settings.collection
    paths = {document.id: document.path for document in rag.index.documents(collection)}
    chunks = rag.index.without_token_vectors(collection, "", 1 << 30)  # all of them: nothing is made by that name
    at = {(paths[chunk.document_id], chunk.ordinal): chunk_id for chunk_id, chunk in chunks}
    of_entry: dict[str, list[int]] = {}
    for (path, _), chunk_id in at.items():
        of_entry.setdefault(path, []).append(chunk_id)
    made = Material(rag, {chunk_id: chunk.searchable_text for chunk_id, chunk in chunks}, {}, [])
    queries = list(dataset.queries)
    random.Random(0).shuffle(queries)  # noqa: S311 - to be drawn again
    for query in queries[:limit]:
        relevant = frozenset(_relevant(query, judge, at, of_entry))
        if not relevant:
            continue
        question = Question(query.text, relevant)
        if _is_held_out(query):
            made.held_out.append(question)
        else:
            made.training.setdefault(min(relevant), []).append(question)
    return made


def _relevant(query: Query, judge: Judge, at: dict[tuple[str, int], int], of_entry: dict[str, list[int]]) -> set[int]:
    found: set[int] = set()
    for unit, grade in judge.grades(query).items():
        if grade > 0:
            found.update([at[unit]] if isinstance(unit, tuple) else of_entry.get(str(unit), []))
    return found


def _is_held_out(query: Query) -> bool:
    """By article, document or, where there are none, by what answers it."""
    group = query.group or min(query.grades, default=query.id)
    return hashlib.sha256(group.encode("utf-8", "surrogatepass")).digest()[0] % _HELD_OUT == 0
