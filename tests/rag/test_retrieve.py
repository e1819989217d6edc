"""Retrieval: fusion, near duplicates, diversity, neighbours, a reranker's place, and the verdict on relevance."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import Index
from indexes.types import Document, DocumentRecord, Element, ElementKind, Filter
from ingest.chunk import chunk_elements
from ingest.embed import Embedder
from ingest.extract.document import SEPARATOR
from rag.retrieve import Retriever, RetrieveSettings, fuse
from rag.retrieve.diversity import diverse
from rag.retrieve.duplicates import without_near_duplicates
from rag.terms import numbers, terms

SCORES = st.dictionaries(st.integers(0, 20), st.floats(-1, 1, allow_subnormal=False), min_size=1)

FERRY = "The ferry to Kelder leaves the northern pier at seven in the morning and takes forty minutes."
TEXTS = {
    "ferry.txt": [FERRY],
    "copy.txt": [FERRY + " Ask at the pier."],
    "evening.txt": [FERRY.replace("seven in the morning", "nine in the evening")],
    "codes.txt": ["Fault QX-7719 means that the pump of the boiler has lost its pressure."],
    "moth.txt": ["Moths gather where lamps burn late, and the keeper of the garden counts them."],
    "walk.txt": [
        "The harbour wall is a walk of an hour. Mind the wind and the wet stones beyond the second bend of the wall.",
        "The lighthouse at its end was built by Ingrid Solheim. Its lamp was lit for the first time in 1871.",
        "Behind the lighthouse stands a hut with a stove. Walkers may rest in it, and leave it as they found it.",
    ],
}


def record(name, paragraphs, embedder):
    elements, start = [], 0
    for text in paragraphs:
        elements.append(Element(ElementKind.PARAGRAPH, text, start, start + len(text)))
        start += len(text) + len(SEPARATOR)
    key = hashlib.sha256(name.encode()).hexdigest()
    chunks = chunk_elements(key, elements, lambda text: range(0, len(text), 4), max_tokens=32, overlap_tokens=8)
    document = Document(
        key, "default", name, f"/{name}", "text/plain", start, None, len(chunks), sum(c.num_tokens for c in chunks), 1.0
    )
    vectors = embedder.embed([chunk.searchable_text for chunk in chunks])
    return DocumentRecord(document, tuple(elements), chunks, vectors)


@pytest.fixture(scope="module")
def embedder():
    return Embedder()


@pytest.fixture(scope="module")
def index(embedder, tmp_path_factory):
    with Index.open(tmp_path_factory.mktemp("index"), embedder.identity) as index:
        for name, paragraphs in TEXTS.items():
            index.write(record(name, paragraphs, embedder))
        yield index


@pytest.fixture
def retriever(index, embedder):
    return lambda reranker=None, **settings: Retriever(index, embedder, RetrieveSettings(**settings), reranker)


def names(passages):
    return [passage.document_name for passage in passages]


class Shortest:
    """A reranker that likes short texts."""

    name = "shortest"

    def score(self, question, candidates):
        return [-float(len(candidate.hit.chunk.text)) for candidate in candidates]


def test_both_sides_count_and_a_hit_of_both_wins():
    fused = fuse({1: 0.9, 2: 0.6, 3: 0.1}, {2: 8.0, 3: 7.0}, 0.5)
    assert sorted(fused, key=lambda key: -fused[key]) == [2, 1, 3]
    assert fused[1] == pytest.approx(0.5)


def test_vectors_count_less_where_even_the_nearest_is_far():
    near, far = fuse({1: 0.8, 2: 0.1}, {2: 3.0}, 0.6), fuse({1: 0.2, 2: 0.1}, {2: 3.0}, 0.6)
    assert near[1] > near[2]
    assert far[1] < far[2]


def test_words_count_less_where_little_of_the_question_was_found():
    similarities, bm25 = {1: 0.8, 2: 0.1}, {2: 3.0}
    assert fuse(similarities, bm25, 0.4, coverage=0.9)[2] > 0.5
    assert fuse(similarities, bm25, 0.4, coverage=0.05)[2] < 0.5


@given(SCORES, st.floats(0, 1), st.floats(0, 1))
def test_fused_scores_stay_between_0_and_1(similarities, weight, coverage):
    bm25 = {key: abs(score) * 9 for key, score in similarities.items() if key % 2}
    fused = fuse(similarities, bm25, weight, coverage)
    assert set(fused) == set(similarities)
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in fused.values())


@given(SCORES)
def test_with_one_side_alone_its_order_stays(similarities):
    fused = fuse(similarities, {}, 1.0)
    by_similarity = sorted(similarities, key=lambda key: similarities[key])
    assert all(fused[low] <= fused[high] for low, high in pairwise(by_similarity))


@pytest.mark.parametrize("fusion", ["convex", "rrf"])
def test_a_question_in_other_words_and_a_code_are_both_found(retriever, fusion):
    searching = retriever(fusion=fusion)
    assert names(searching.retrieve("insects attracted by light", "default", 1).passages) == ["moth.txt"]
    assert names(searching.retrieve("QX-7719", "default", 1).passages) == ["codes.txt"]


def test_a_text_that_repeats_a_better_one_is_left_out_and_one_with_another_fact_is_not(retriever):
    question = "When does the ferry to Kelder leave?"
    all_of_them = names(retriever(drop_near_duplicates=False).retrieve(question, "default", 3).passages)
    assert sorted(all_of_them) == ["copy.txt", "evening.txt", "ferry.txt"]
    (best, *_) = retriever(drop_near_duplicates=False).retrieve(question, "default", 1).passages
    fewer = names(retriever().retrieve(question, "default", 3).passages)
    assert "evening.txt" in fewer
    assert ("ferry.txt" in fewer) == (best.document_name == "ferry.txt")


def test_near_duplicates_say_nothing_of_their_own():
    text = "The valve of the second tank must be opened when 12 bar are shown."
    others = [text.replace("must", "must not"), text.replace("12", "14"), f"{text} Then call."]
    assert without_near_duplicates([text, text.upper().replace(" ", "\n"), "the second tank", *others], 9) == [
        0,
        3,
        4,
        5,
    ]
    assert without_near_duplicates([others[2], text, others[0]], 9) == [0, 2]
    assert without_near_duplicates([text, *others], 1) == [0]
    assert without_near_duplicates(["", "", "a"], 9) == [0, 2]


def test_diverse_passages_leave_out_what_was_said():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert diverse([3.0, 2.9, 1.0], vectors, 2, 0.0) == [0, 1]
    assert diverse([3.0, 2.9, 1.0], vectors, 2, 0.5) == [0, 2]


def test_diversity_brings_another_document_forward(retriever):
    question = "ferry and lighthouse"
    plain, diverse_ones = (
        names(retriever(diversity=diversity).retrieve(question, "default", 2).passages) for diversity in (0.0, 0.7)
    )
    assert plain[0] == diverse_ones[0]
    assert len(set(diverse_ones)) == 2
    assert "evening.txt" not in diverse_ones or plain[0] != "ferry.txt"


def test_neighbours_are_read_as_one_piece_of_the_document(retriever):
    question = "lighthouse built by Ingrid Solheim, hut with a stove behind it, walk on the harbour wall"
    apart = retriever().retrieve(question, "default", 3).passages
    (one, *others) = retriever(join_neighbours=1).retrieve(question, "default", 3).passages
    walk = [passage for passage in apart if passage.document_name == "walk.txt"]
    assert len(walk) > 1
    assert one.text == SEPARATOR.join(TEXTS["walk.txt"])[one.start : one.end]
    assert (one.start, one.end) == (min(each.start for each in walk), max(each.end for each in walk))
    assert one.ordinal == min(each.ordinal for each in walk)
    assert one.num_tokens < sum(each.num_tokens for each in walk)
    assert [passage.number for passage in (one, *others)] == list(range(1, len(others) + 2))


def test_a_reranker_decides_among_the_best_and_the_others_stay_behind(retriever):
    question = "When does the ferry to Kelder leave the pier?"
    plain = retriever().retrieve(question, "default", 9).passages
    judged = retriever(Shortest(), rerank_candidates=2).retrieve(question, "default", 9).passages
    assert [len(passage.text) for passage in judged[:2]] == sorted(len(passage.text) for passage in plain[:2])
    assert [passage.rerank_score for passage in judged[:2]] == [-len(passage.text) for passage in judged[:2]]
    assert [passage.text for passage in judged[2:]] == [passage.text for passage in plain[2:]]
    assert all(passage.rerank_score is None for passage in (*plain, *judged[2:]))


def test_only_documents_that_the_filter_lets_through_are_found(retriever):
    where = Filter(paths=("*/walk.txt",))
    found = retriever().retrieve("When does the ferry leave?", "default", 9, where=where).passages
    assert set(names(found)) == {"walk.txt"}
    candidates = retriever().candidates("When does the ferry leave?", "default", 9, where)
    assert {candidate.hit.document.name for candidate in candidates} == {"walk.txt"}


def test_each_of_several_questions_gets_its_passages(retriever):
    questions = ("When does the ferry to Kelder leave?", "What does fault QX-7719 mean?")
    told = []
    found = retriever().retrieve_many(questions, "default", 2, told.append)
    assert len({"codes.txt"}.intersection(names(found.passages))) == 1
    assert found.relevance > 0.8
    assert len(told) == 4
    assert [name for name, _ in found.stages][:5] == ["terms", "full text", "embed", "dense", "fuse"]


def test_a_term_is_as_rare_as_it_is_now_and_not_as_it_was(embedder, tmp_path):
    with Index.open(tmp_path, embedder.identity) as index:
        index.write(record("ferry.txt", TEXTS["ferry.txt"], embedder))
        searching = Retriever(index, embedder)
        before = searching.term_weights("default", ["ferry", "moth"])
        assert searching.term_weights("default", ["moth", "ferry"]) == before
        index.write(record("moth.txt", TEXTS["moth.txt"], embedder))
        after = searching.term_weights("default", ["ferry", "moth"])
    assert before["moth"] > before["ferry"]
    assert after["ferry"] > before["ferry"]
    assert after["moth"] == after["ferry"]


def test_nothing_is_found_where_nothing_is(retriever):
    found = retriever().retrieve("ferry", "elsewhere", 3)
    assert found.passages == ()
    assert found.relevance == 0


def test_terms_meet_over_endings_and_keep_numbers():
    assert terms("Batteries are charged") == terms("the battery charges")
    assert terms("It costs 1,250 euros.") == ["cost", "1250", "euro"]
    assert numbers("between 1,250 and 3.5 of 14") == {"1250", "3.5", "14"}


@given(st.text(max_size=60))
def test_any_text_has_terms_or_none(text):
    assert all(term for term in terms(text))
