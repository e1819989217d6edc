"""Passages that are given with a question, in place of those that would be found for it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from rag.errors import RagError
from rag.eval.answers.nearness import Nearness
from rag.events import Passage
from rag.terms import rarity, terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from indexes.types import Filter
    from rag.app import Rag
    from rag.eval.answers.task import Task
    from rag.eval.retrieval.dataset import Dataset, Entry
    from rag.retrieve import OnCandidates, Retrieval


class GivenPassages:
    """Gives each question its own paragraph among others that are like it, in any order.

    Those of SQuAD's article, those that MuSiQue publishes with a question, else any of the collection. Which they are
    depends on the question and the seed alone, so that two runs can be compared question by question.

    Args:
        rag: whose collection the passages say they are from; their states are kept in its name.
        num_passages: for each question; 1 gives its own paragraph alone.
    """

    def __init__(self, rag: Rag, dataset: Dataset, num_passages: int, seed: int) -> None:
        self._entries = {entry.id: entry for entry in dataset.entries}
        self._num_passages = num_passages
        self._seed = seed
        self._collection = rag.settings.collection
        self._token_offsets = rag.tokenizer.token_offsets
        self._nearness = Nearness(rag.embedder, self.weights)
        self._groups: dict[str, list[str]] = defaultdict(list)
        for entry in dataset.entries:
            self._groups[entry.group].append(entry.id)
        texts = [set(terms(f"{entry.title}\n{entry.text}")) for entry in dataset.entries]
        self._num_texts = len(texts)
        self._frequencies = Counter(term for text in texts for term in text)

    def finder(self, task: Task) -> GivenFinder:
        """What gives a question's passages.

        Raises:
            RagError: the collection does not say which paragraph it is about.
        """
        query = task.query
        if query is None or not query.own:
            raise RagError("--oracle needs a collection that names each question's paragraph, such as SQuAD's")
        drawn = random.Random(f"{self._seed} {query.id}")  # noqa: S311 - to be drawn again
        right = [entry for entry in query.own if query.grades.get(entry, 0) > 0] or list(query.own[:1])
        others = query.own if len(query.own) > 1 else self._groups[query.group]
        rest = [entry for entry in others if entry not in right]
        chosen = right[: self._num_passages]
        chosen += drawn.sample(rest, min(self._num_passages - len(chosen), len(rest)))
        drawn.shuffle(chosen)
        passages = [self._passage(n, self._entries[entry]) for n, entry in enumerate(chosen, start=1)]
        return GivenFinder(self._nearness.judged(task.question, passages), self)

    def weights(self, wanted: Iterable[str]) -> dict[str, float]:
        """How rare terms are among the paragraphs."""
        return {term: rarity(self._num_texts, self._frequencies[term]) for term in wanted}

    def _passage(self, number: int, entry: Entry) -> Passage:
        return Passage(
            number=number,
            document_id=f"given-{entry.id}",
            document_name=entry.title or entry.id,
            path=entry.id,
            collection=self._collection,
            ordinal=0,
            pages=(),
            section=(),
            text=entry.text,
            num_tokens=len(self._token_offsets(entry.text)),
            start=0,
            end=len(entry.text),
            score=1.0,
            similarity=1.0,
        )


class GivenFinder:
    """Finds the same passages whatever it is asked."""

    def __init__(self, found: Retrieval, given: GivenPassages) -> None:
        self._found = found
        self._given = given

    def retrieve_many(
        self,
        questions: Sequence[str],  # noqa: ARG002 - as whatever finds passages is asked
        collection: str,  # noqa: ARG002
        limit: int,  # noqa: ARG002
        on_candidates: OnCandidates | None = None,  # noqa: ARG002
        where: Filter | None = None,  # noqa: ARG002
        *,
        rerank: bool = True,  # noqa: ARG002
    ) -> Retrieval:
        """All of them."""
        return self._found

    def term_weights(self, collection: str, wanted: Iterable[str]) -> dict[str, float]:  # noqa: ARG002
        """See `GivenPassages.weights`."""
        return self._given.weights(wanted)
