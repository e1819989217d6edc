"""Files in SQuAD's format: what is asked of which paragraphs."""

import pytest

from rag.errors import RagError
from rag.eval.cases import squad_cases
from rag.eval.squad import articles_of, paragraph_weights


def paragraph(number, *answers):
    asked = [{"id": str(i), "question": f"{number}?", "answers": [{"text": text}]} for i, text in enumerate(answers)]
    impossible = {"id": "none", "question": "Why?", "answers": [], "is_impossible": True}
    return {"context": f"Paragraph {number} of many.", "qas": [*asked, impossible]}


def content(*articles):
    return {"data": [{"title": title, "paragraphs": list(paragraphs)} for title, *paragraphs in articles]}


ARTICLES = articles_of(
    "f.json",
    content(
        ("Super_Bowl", *(paragraph(number, "one", "two") for number in range(6))),
        ("Short", paragraph(100, "three"), paragraph(101)),
    ),
)


def cases(num_questions=100, num_passages=4, seed=0):
    return squad_cases(ARTICLES, num_questions, num_passages, len, seed)


def test_every_answerable_question_is_asked_once_and_no_other():
    assert len(cases()) == 13
    assert all(case.references for case in cases())


def test_the_paragraph_that_answers_is_where_gold_says_among_others_of_its_article():
    places = set()
    for case in cases():
        texts = [passage.text for passage in case.passages]
        assert texts[case.gold - 1] == f"Paragraph {case.question.rstrip('?')} of many."
        assert [passage.number for passage in case.passages] == list(range(1, len(texts) + 1))
        assert len({passage.document_name for passage in case.passages}) == 1
        assert len(set(texts)) == len(texts) == (2 if case.passages[0].document_name == "Short" else 4)
        places.add(case.gold)
    assert places == {1, 2, 3, 4}


def test_a_seed_draws_the_same_questions_and_another_one_others():
    assert cases(5) == cases(5)
    assert cases(5) != cases(5, seed=1)


def test_titles_are_written_as_people_do():
    assert ARTICLES[0].title == "Super Bowl"


def test_rare_terms_weigh_more():
    weights = paragraph_weights(ARTICLES)(["paragraph", "100", "unheard"])
    assert weights["paragraph"] < weights["100"] < weights["unheard"]


@pytest.mark.parametrize("data", [{"data": [{"title": "x"}]}, {"data": 3}, {"data": [{"title": 1, "paragraphs": []}]}])
def test_other_formats_are_refused_by_name(data):
    with pytest.raises(RagError, match=r"f\.json: not in SQuAD's format"):
        articles_of("f.json", data)
