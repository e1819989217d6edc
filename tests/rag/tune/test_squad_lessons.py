import json
import random
from pathlib import Path

import pytest

from rag.errors import RagError
from rag.events import Passage
from rag.prompt import build_prompt
from rag.tune import lessons_from
from rag.tune.near import Nearness
from rag.tune.paragraphs import topics_of
from rag.tune.source import Asked, Said, Source, lesson_of
from rag.tune.squad import squad_lessons
from rag.tune.wording import reworded
from serving.tune.lessons import read_lessons, write_lessons

_COLOURS = "red blue green amber violet ivory scarlet teal ochre silver".split()
_ANIMALS = "badger heronry otters weasel lapwing gannet marmot lynxes turbot salmon".split()


def article(title: str, count: int = 10) -> dict:
    """Paragraphs that each answer two questions, and the first three leave one open that was written to look answerable."""
    paragraphs = []
    for place in range(count):
        colour, animal = _COLOURS[place], _ANIMALS[place]
        context = (
            f"The {colour} gate of {title} was painted long ago. It stands beside the water. "
            f"Old people still remember it well. The {animal} lives behind the {colour} gate."
        )
        questions = [
            {"question": f"What is behind the {animal} of {title}?", "answers": [{"text": f"{colour} gate"}] * 2},
            {
                "question": f"Which animal lives behind the {colour} gate?",
                "answers": [{"text": f"The {animal}"}, {"text": animal}, {"text": animal}],
            },
        ]
        if place < 3:
            questions.append({"question": f"Who sold the {colour} gate?", "answers": [], "is_impossible": True})
        paragraphs.append({"context": context, "qas": questions})
    return {"title": title, "paragraphs": paragraphs}


@pytest.fixture(scope="module")
def squad(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("squad") / "squad.json"
    file.write_text(json.dumps({"data": [article("North_Hill"), article("South_Vale"), article("Kept_Back")]}))
    return file


@pytest.fixture(scope="module")
def nearness():
    return Nearness()


@pytest.fixture(scope="module")
def lessons(squad, nearness):
    return list(lessons_from([squad], seed=3, hold_out={"Kept_Back"}, groupings=2, nearness=nearness))


def passage_text(lesson, number: int) -> str:
    return next(passage.text for passage in lesson.passages if passage.number == f"[{number}]\n\n")


def test_the_number_cited_is_that_of_a_passage_with_the_answer(lessons):
    answered = [(lesson, one) for lesson in lessons for one in lesson.exchanges if one.answer != "[0]"]
    assert len(answered) > 50
    for lesson, exchange in answered:
        text, number = exchange.answer.removesuffix("]").rsplit(" [", 1)
        assert text in passage_text(lesson, int(number))


def test_a_question_that_is_declined_has_no_answer_in_sight(lessons, squad):
    answers = {
        question: answer
        for topic in topics_of([squad])
        for one in topic.paragraphs
        for question, answer in one.answers.items()
    }
    declined = [(lesson, one) for lesson in lessons for one in lesson.exchanges if one.answer == "[0]"]
    known = 0
    for lesson, exchange in declined:
        answer = answers.get(exchange.question.removeprefix("Question: "))
        known += answer is not None
        assert answer is None or all(answer not in passage.text for passage in lesson.passages)
    share = len(declined) / sum(len(lesson.exchanges) for lesson in lessons)
    assert known
    assert 0.15 < share < 0.5


def test_the_answer_given_most_often_is_the_one_that_is_learnt(squad):
    paragraph = topics_of([squad])[0].paragraphs[0]
    assert paragraph.answers["Which animal lives behind the red gate?"] == "badger"


def test_every_paragraph_is_in_a_lesson_of_each_grouping(squad, nearness):
    topics = topics_of([squad])
    texts = [passage.text for lesson in squad_lessons(topics, 1, 0, nearness) for passage in lesson.passages]
    for topic in topics:
        for paragraph in topic.paragraphs:
            first, last = paragraph.text.split(". ")[0], paragraph.text.split(". ")[-1]
            assert any(first in text or last in text for text in texts)


def test_articles_that_are_held_out_appear_nowhere(lessons):
    assert not any("Kept" in passage.text for lesson in lessons for passage in lesson.passages)
    assert not any("Kept" in one.question for lesson in lessons for one in lesson.exchanges)


def test_the_same_seed_gives_the_same_lessons(lessons, squad, nearness):
    again = list(lessons_from([squad], seed=3, hold_out={"Kept_Back"}, groupings=2, nearness=nearness))
    other = list(lessons_from([squad], seed=4, hold_out={"Kept_Back"}, groupings=2, nearness=nearness))
    assert again == lessons
    assert other != lessons


def test_a_paragraph_of_both_versions_of_the_set_is_one(squad, tmp_path):
    second = tmp_path / "squad2.json"
    changed = article("North_Hill")
    changed["paragraphs"][0]["qas"] = [{"question": "Who guards gate 0?", "answers": [], "is_impossible": True}]
    second.write_text(json.dumps({"data": [changed]}))
    (north,) = [topic for topic in topics_of([squad, second]) if topic.title == "North Hill"]
    assert len(north.paragraphs) == 10
    assert "Who guards gate 0?" in north.paragraphs[0].unanswered
    assert len(north.paragraphs[0].answers) == 2


def test_a_lesson_reads_word_for_word_as_a_prompt_does(squad):
    sources = [Source("a.md", "Bees\n\nBees fly.", ("Insects", "Bees")), Source("b.pdf", "Cows stand.")]
    lesson = lesson_of(sources, [Asked("Who flies?", (Said("Bees", (0,)),))], random.Random(1))
    passages = [_retrieved(place, source, lesson) for place, source in enumerate(sources)]
    prompt = build_prompt("Who flies?", sorted(passages, key=lambda one: one.number), _Counter(), 4096)
    assert lesson.instructions == prompt.instructions
    assert [(one.text, one.number) for one in lesson.passages] == [(one.text, one.number) for one in prompt.passages]
    assert lesson.exchanges[0].question == prompt.question


def test_lessons_survive_a_file(lessons, tmp_path):
    write_lessons(tmp_path / "lessons.jsonl", lessons)
    assert read_lessons(tmp_path / "lessons.jsonl") == lessons


def test_a_file_of_another_kind_is_refused(tmp_path):
    file = tmp_path / "other.json"
    file.write_text('{"rows": []}')
    with pytest.raises(RagError, match="of no format that lessons are made from"):
        list(lessons_from([file]))


def test_questions_come_in_other_forms_now_and_then_and_never_empty():
    question = "Who does not like the painted gate beside the river Thames?"
    forms = {reworded(question, random.Random(seed)) for seed in range(200)}
    assert question in forms
    assert len(forms) > 8
    assert all("hames" in form for form in forms)


class _Counter:
    """Counts tokens for a budget that is not reached."""

    context_length = 8192

    def count_tokens(self, _prompt) -> int:
        return 10

    def count_text_tokens(self, text: str) -> int:
        return len(text)


def _retrieved(place: int, source: Source, lesson) -> Passage:
    shown = next(one for one in lesson.passages if source.text in one.text)
    return Passage(
        number=int(shown.number.strip("[]\n")),
        document_id=str(place),
        document_name=source.name,
        path=source.name,
        collection="c",
        ordinal=0,
        pages=(),
        section=source.section,
        text=source.text,
        num_tokens=5,
        start=0,
        end=len(source.text),
        score=1.0,
        similarity=1.0,
    )
