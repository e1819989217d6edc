"""Tuning the reranker: on what is held out it must help, or nothing is kept."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest

from indexes.types import Chunk
from ingest.embed.head import BUNDLED_HEAD, read_head
from rag.app import Rag
from rag.config import load_settings
from rag.errors import RerankerError
from rag.rerank.tune.cloze import cloze
from rag.rerank.tune.measure import Comparison
from rag.rerank.tune.tune import TuneSettings, keep_if_it_helps, tune

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLACES = ("Lindesund", "Kelder", "Aldermoor", "Vesterby", "Holm", "Sundnes", "Orrefors", "Tarn")
FACTS = {
    "What is the harbour of {} known for?": "The harbour of {} is known for its herring, which is smoked on the quay.",
    "Who built the church of {}?": "The church of {} was built by monks, who left nothing else behind.",
    "When does the market of {} open?": "The market of {} opens at six, before the first boat leaves.",
}


def squad(folder: Path) -> Path:
    """An article for each place, a paragraph for each fact."""
    number = itertools.count()

    def paragraph(place: str, question: str, text: str) -> dict:
        context = text.format(place)
        answers = [{"text": place, "answer_start": context.index(place)}]
        return {
            "context": context,
            "qas": [{"id": str(next(number)), "question": question.format(place), "answers": answers}],
        }

    data = [{"title": place, "paragraphs": [paragraph(place, *fact) for fact in FACTS.items()]} for place in PLACES]
    path = folder / "places.json"
    path.write_text(json.dumps({"data": data}))
    return path


@pytest.mark.slow
def test_a_tuned_head_is_compared_on_what_was_held_out_and_one_that_does_not_help_is_not_kept(
    make_home: Callable[[], Path], tmp_path: Path
) -> None:
    with Rag.open(settings=load_settings(make_home())) as rag:
        found = tune(rag, TuneSettings(data=(squad(tmp_path),), num_steps=3), lambda _: None)
        assert found.num_questions >= 3
        assert found.before is not None
        assert not found.helps  # what hybrid retrieval finds at once cannot be found better
        assert not rag.settings.head_file.exists()


def test_a_head_that_helps_is_kept_and_used_from_then_on(make_home: Callable[[], Path], tmp_path: Path) -> None:
    home, file = make_home(), tmp_path / "new.safetensors"
    file.write_bytes(BUNDLED_HEAD.read_bytes())
    settings = load_settings(home)
    worse = Comparison(9, hybrid=0.5, before=0.6, after=0.61, gain=0.01, interval=(-0.01, 0.03))
    better = Comparison(9, hybrid=0.5, before=0.6, after=0.7, gain=0.1, interval=(0.05, 0.15))
    keep_if_it_helps(worse, file, settings.head_file)
    assert not settings.head_file.exists()
    keep_if_it_helps(better, file, settings.head_file)
    with Rag.open(settings=settings) as rag:
        assert rag.late is not None
        assert rag.late.head.path == settings.head_file
        assert rag.late.identity == read_head(BUNDLED_HEAD).identity


def test_own_documents_give_questions_that_are_cut_out_of_their_passages() -> None:
    text = "The lamp of the lighthouse is serviced every nine weeks. " + "Nobody lives on the island any more. " * 8
    short = "Too short to take a sentence out of it."
    made = cloze([Chunk("d", place, one, 9, 0, len(one)) for place, one in enumerate((text, short))], limit=10)
    assert [query.grades for query in made.queries] == [{"0": 1}]
    assert made.queries[0].text in text
    assert len(made.entries[0].text) < len(text)


def test_a_collection_without_passages_is_refused_in_one_line(make_home: Callable[[], Path]) -> None:
    with (
        Rag.open(settings=load_settings(make_home())) as rag,
        pytest.raises(RerankerError, match="has no passages that a question can be taken out of"),
    ):
        tune(rag, TuneSettings(own="default"), lambda _: None)
