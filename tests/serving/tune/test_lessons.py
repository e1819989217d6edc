"""Lessons in files, and as tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving.errors import InvalidRequestError
from serving.runtime import Prompt
from serving.tune.lessons import read_lessons, write_lessons


def test_lessons_are_read_as_they_were_written(make_lesson: Any, tmp_path: Path) -> None:
    first, second = make_lesson(), make_lesson(numbers_first=True)
    second = replace(second, passages=(replace(second.passages[0], owner=None, kept=((0, 3), (5, 9))),))
    assert write_lessons(tmp_path / "lessons.jsonl", [first, second]) == 2
    assert read_lessons(tmp_path / "lessons.jsonl") == [first, second]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "Expecting"),
        ("[1]", "indices"),
        ('{"instructions": "i", "passages": []}', "'exchanges' is missing"),
        ('{"instructions": "i", "passages": [], "exchanges": []}', "needs exchanges"),
        ('{"instructions": "i", "passages": [], "exchanges": [{"question": "q", "answer": ""}]}', "an answer"),
        ('{"instructions": 3, "passages": [], "exchanges": [{"question": "q", "answer": "a"}]}', "3 is not a text"),
        (
            '{"instructions": "", "passages": [], "exchanges": [{"question": "q", "answer": "a", "weight": -1}]}',
            "weight must be 0 or more",
        ),
    ],
)
def test_a_bad_line_is_named(line: str, reason: str, make_lesson: Any, tmp_path: Path) -> None:
    file = tmp_path / "lessons.jsonl"
    write_lessons(file, [make_lesson()])
    with file.open("a") as lines:
        lines.write("\n" + line + "\n")
    with pytest.raises(InvalidRequestError, match=rf"lessons\.jsonl, line 3: not a lesson \(.*{reason}"):
        read_lessons(file)


@pytest.mark.parametrize("numbers_first", [False, True])
def test_tokens_are_those_of_the_prompts_that_lessons_stand_for(
    numbers_first: bool, tiny: Any, make_tuned: Any, make_lesson: Any
) -> None:
    model = tiny("llama", eos=2)
    encoder, lesson = make_tuned(model).encoder, make_lesson(numbers_first=numbers_first)
    encoded = encoder.encode(lesson)
    context = [*encoded.instructions, *(token_id for part in encoded.parts for token_id in part.token_ids)]
    runtime = model.runtime()
    for exchange, ids in zip(lesson.exchanges, encoded.exchanges, strict=True):
        prompt = runtime.encode(Prompt(lesson.instructions, lesson.passages, exchange.question, numbers_first))
        assert (*context, *ids.question_ids) == prompt.token_ids
        assert ids.answer_ids[-1] == 2, "the token that the template ends a turn with"
        assert runtime.engine.tokenizer.decode(ids.answer_ids) == " " * (exchange.answer != "[0]") + exchange.answer
        digits = [runtime.engine.tokenizer.decode([ids.answer_ids[place]]).strip() for place in ids.number_tokens]
        assert digits == [character for character in exchange.answer if character.isdigit()]


def test_a_lesson_that_is_too_long_is_refused(tiny: Any, make_tuned: Any, make_lesson: Any) -> None:
    encoder = make_tuned(tiny("llama", eos=2, max_position_embeddings=64)).encoder
    with pytest.raises(InvalidRequestError, match=r"tokens in a row \(it asks 'Question: what is the torque"):
        encoder.encode(make_lesson())


def test_lines_are_json_that_people_can_read(make_lesson: Any, tmp_path: Path) -> None:
    write_lessons(tmp_path / "lessons.jsonl", [make_lesson()])
    text = (tmp_path / "lessons.jsonl").read_text(encoding="utf-8")
    assert "cafés" in text
    assert json.loads(text)["exchanges"][1] == {"question": "Question: who sleeps?", "answer": "[0]", "weight": 0.5}
