"""What a person may type finds what is written, however it is written."""

import math

import pytest

from indexes import Index
from tests.indexes.records import IDENTITY, record

TEXTS = {
    "version": "Fixed in v3.5.1 of the driver.",
    "other version": "Fixed in v3.51 of the driver.",
    "error": "The pump stops with error E-1234 at once.",
    "other error": "The pump stops with error E-1243 at once.",
    "address": "The gateway has the address 192.168.0.1 here.",
    "function": "Call getUserName before the XMLHttpRequest is sent.",
    "setting": "The setting max_retry_count is read first.",
    "languages": "Written in C++ and C# mostly.",
    "letter": "Vitamin C is sour.",
    "price": "It costs 10,000 euros, or 1,234,567 in all.",
    "plain price": "It costs 25000 euros.",
    "mail": "Send an e-mail about the non-linear part.",
    "ligature": "The \ufb01nal ef\ufb01ciency of stra\u00dfe and soft\u00adware.",
    "chinese": "全文检索引擎可以快速找到文档。",
    "japanese": "東京タワーは高いです。",
    "korean": "한국어 문서를 검색합니다.",
    "thai": "ภาษาไทยไม่มีช่องว่าง",
    "period": "The notice period is three months after a period without notice.",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    with Index.open(tmp_path_factory.mktemp("index"), IDENTITY) as index:
        index.write(record(*TEXTS.values(), path="/docs/texts"))
        yield index


def found(index, query, limit=10):
    names = {text: name for name, text in TEXTS.items()}
    return [names[hit.chunk.text] for hit in index.search_text("default", query, limit)]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("What changed in v3.5.1?", "version"),
        ("what changed in 3.5.1", "version"),
        ("3.51", "other version"),
        ("What is E-1234?", "error"),
        ("e1234", "error"),
        ("error 1243", "other error"),
        ("Who is 192.168.0.1?", "address"),
        ("168.0.1", "address"),
        ("getUserName", "function"),
        ("get_user_name()", "function"),
        ("user name", "function"),
        ("XMLHttpRequest", "function"),
        ("xml request", "function"),
        ("max_retry_count", "setting"),
        ("maxRetryCount", "setting"),
        ("retry", "setting"),
        ("C++", "languages"),
        ("Is it written in C#?", "languages"),
        ("10000 euros", "price"),
        ("10,000 euros", "price"),
        ("1234567", "price"),
        ("25,000", "plain price"),
        ("email", "mail"),
        ("nonlinear", "mail"),
        ("final efficiency", "ligature"),
        ("STRASSE", "ligature"),
        ("software", "ligature"),
        ("检索", "chinese"),
        ("怎么快速找到文档", "chinese"),
        ("タワー", "japanese"),
        ("문서", "korean"),
        ("ไทย", "thai"),
    ],
)
def test_the_first_found_is_what_was_meant(index, query, name):
    assert found(index, query)[:1] == [name]


def test_characters_of_a_word_apart_are_not_the_word(index):
    assert found(index, "引文") == []


def test_words_that_stand_together_come_first(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(record("period and notice", "notice period and", "period or notice"))
        hits = index.search_text("default", "notice period", 3)
        assert hits[0].chunk.text == "notice period and"
        assert len(hits) == 3


def test_quoted_words_must_stand_together(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(record("period of notice, notice of a period", "the notice period", "notice", "other"))

        def texts(query):
            return [hit.chunk.text for hit in index.search_text("default", query, 10)]

        assert len(texts("what is the notice period")) == 3
        for quoted in ('what is the "notice period"?', "“notice periods” in brief", "«Notice Period»"):
            assert texts(quoted) == ["the notice period"]
        assert len(texts('the "lunar notice" period')) == 3  # stands nowhere, so it asks for its words
        assert texts('"') == []


def test_scores_are_bm25(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(record("apple apple pear", "apple plum plum plum plum", "fig", path="/a"))
        lengths = [3 + 1, 5 + 1, 1 + 1]  # the name, `a`, is among the words
        idf = math.log1p((3 - 2 + 0.5) / (2 + 0.5))

        def bm25(count, length):
            return idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / (sum(lengths) / 3)))

        hits = index.search_text("default", "apple", 5)
        assert [hit.score for hit in hits] == pytest.approx([bm25(2, lengths[0]), bm25(1, lengths[1])], rel=1e-5)


def test_long_texts_are_weighed_by_their_length(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(record("needle " + "hay " * 20_000, "needle " + "hay " * 300, "needle hay", path="/a"))
        lengths = [len(hit.chunk.text) for hit in index.search_text("default", "needle", 5)]
        assert lengths == sorted(lengths)


def test_what_is_kept_of_a_collection_follows_its_changes(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index, Index.open(tmp_path, IDENTITY) as other:
        index.write(record("plum one", path="/1"))
        assert len(index.search_text("default", "plum", 5)) == 1
        other.write(record("plum two", path="/2"))
        assert len(index.search_text("default", "plum", 5)) == 2
        other.delete(record("plum one").document.id)
        assert [hit.chunk.text for hit in index.search_text("default", "plum", 5)] == ["plum two"]


def test_words_that_no_longer_fit_in_memory_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("indexes.text.bm25._BUDGET_POSTINGS", 3)
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(record("plum", "plum apple", "apple fig"))
        for _ in range(2):
            assert len(index.search_text("default", "plum apple fig", 5)) == 3
            assert index._bm25._num_kept <= 3
