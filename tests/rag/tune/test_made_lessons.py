import re
from collections import Counter

import pytest

from rag.terms import numbers
from rag.tune.made import made_lessons
from rag.tune.made.clauses import SUBJECTS
from rag.tune.made.draw import Draw
from rag.tune.made.facts import editions
from rag.tune.made.frames import DOMAINS
from rag.tune.made.rows import coded, ranked
from rag.tune.made.tables import table
from rag.tune.source import Source

_MARKERS = re.compile(r" ((?:\[\d+\])+)(?=[.,]|$)")


@pytest.fixture(scope="module")
def lessons():
    return list(made_lessons(120, 5))


def cited(lesson, answer: str) -> list[str]:
    marked = re.findall(r"\[(\d+)\]", answer)
    texts = {passage.number.strip(): passage.text for passage in lesson.passages}
    return [texts[f"[{number}]"] for number in marked]


def test_every_number_in_an_answer_stands_in_a_passage_that_it_cites(lessons):
    answers = [(lesson, one.answer) for lesson in lessons for one in lesson.exchanges if one.answer != "[0]"]
    wrong = []
    for lesson, answer in answers:
        said = numbers(_MARKERS.sub("", answer))
        there = {number for text in cited(lesson, answer) for number in numbers(text)}
        if not said <= there:
            wrong.append(answer)
    assert len(answers) > 1000
    assert not wrong


def test_every_answer_cites_passages_that_are_there_unless_it_declines(lessons):
    for lesson in lessons:
        for exchange in lesson.exchanges:
            assert exchange.answer == "[0]" or cited(lesson, exchange.answer)


def test_a_sentence_has_its_number_before_the_full_stop(lessons):
    sentences = [one.answer for lesson in lessons for one in lesson.exchanges if one.answer.startswith("Because ")]
    assert sentences
    assert all(re.search(r" \[\d+\]\.$", sentence) for sentence in sentences)


def test_a_question_is_not_both_answered_and_declined(lessons):
    for lesson in lessons:
        counts = Counter(exchange.question for exchange in lesson.exchanges)
        assert max(counts.values()) == 1


def test_about_a_quarter_is_declined(lessons):
    exchanges = [one for lesson in lessons for one in lesson.exchanges]
    assert 0.15 < sum(one.answer == "[0]" for one in exchanges) / len(exchanges) < 0.3


def test_names_that_are_held_out_are_in_no_other_lesson(lessons):
    kept = list(made_lessons(30, 5, held_out=True))
    people = set(re.findall(r"[Ww]as designed by ([A-Z]\w+ \w+)", text_of(kept)))
    assert people
    assert not any(person in text_of(lessons) for person in people)


def test_the_same_seed_gives_the_same_lessons(lessons):
    assert list(made_lessons(5, 5)) == lessons[:5]
    assert list(made_lessons(5, 6)) != lessons[:5]


def test_real_passages_stand_among_the_invented_ones():
    made = list(made_lessons(20, 1, [Source("Rivers", "A real passage about rivers.")]))
    assert 2 < sum("real passage" in text_of([lesson]) for lesson in made) < 18


def test_a_table_answers_with_the_cell_of_its_row_and_column():
    for seed in range(20):
        scene = table(DOMAINS[0], Draw(f"table {seed}"))
        for asked in scene.asked:
            (said,) = asked.said
            (place,) = said.sources
            (figure,) = numbers(said.text) or {said.text}
            rows = [row for row in scene.sources[place].text.split("\n") if figure in row.replace(",", "")]
            assert rows, asked


def test_the_first_and_last_rows_of_a_table_are_those_of_its_column():
    for seed in range(30):
        scene = ranked(DOMAINS[1], Draw(f"ranked {seed}"))
        text = scene.sources[0].text
        if "| --- |" not in text:
            continue
        rows = [row.strip("| ").split(" | ") for row in text.split("\n") if row.startswith("| ")]
        head, body = rows[0], rows[2:]
        for asked in scene.asked:
            asks = re.match(r"Which site has the (highest|lowest|longest|shortest) (.*)\?", asked.question)
            if asks:
                (column,) = [place for place, name in enumerate(head) if name.lower().split(" (")[0] == asks[2]]
                best = (max if asks[1] in {"highest", "longest"} else min)(body, key=lambda row: float(row[column]))
                assert asked.said[0].text == best[0]


def test_what_a_code_calls_for_is_looked_up_in_the_list_of_parts():
    for seed in range(20):
        scene = coded(DOMAINS[0], Draw(f"coded {seed}"))
        chained = [asked for asked in scene.asked if "needed then" in asked.question]
        assert len(chained) == 3
        for asked in chained:
            code = re.search(r"\b[A-Z]\d\d\b", asked.question)[0]
            assert asked.said[0].sources == (1, 0)
            assert code in scene.sources[0].text
        assert not any(re.search(r"\b[A-Z]\d\d\b", question)[0] in scene.sources[0].text for question in scene.absent)


def test_passages_that_differ_in_a_value_are_told_apart():
    for seed in range(20):
        scene = editions(DOMAINS[6], Draw(f"editions {seed}"))
        for asked in scene.asked:
            (said,) = asked.said
            assert all(asked_of(asked.question) in source_text(scene, place) for place in said.sources)


def test_every_kind_of_thing_can_be_stated_and_asked():
    for domain in DOMAINS:
        for frame in domain.frames:
            assert all("{e}" in says and "{v}" in says for says in frame.says), frame
            assert all("{e}" in asks and "{v}" not in asks for asks in frame.asks), frame
            assert Draw("kinds").value(frame.kind).text
    assert all(clause.asks for clauses in SUBJECTS.values() for clause in clauses)


def asked_of(question: str) -> str:
    """The release that a question names."""
    return re.search(r"[A-Z][a-z]+ \d\.\d", question)[0]


def source_text(scene, place: int) -> str:
    return " ".join(scene.sources[place].text.split())


def text_of(lessons) -> str:
    return "\n".join(passage.text for lesson in lessons for passage in lesson.passages)
