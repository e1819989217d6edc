"""Answers, and what they are judged by, as the tests of this folder write them down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.events import Citation, Cost, Passage

SQUAD = {
    "data": [
        {
            "title": "The_Moon",
            "paragraphs": [
                {
                    "context": "The Moon was first reached by Luna 2 in 1959. It struck near the crater Autolycus.",
                    "qas": [
                        {
                            "id": "m1",
                            "question": "Which probe reached the Moon first?",
                            "answers": [{"text": "Luna 2", "answer_start": 30}],
                        },
                        {"id": "m2", "question": "Who built Luna 3?", "answers": []},
                    ],
                },
                {"context": "Tides follow the Moon. Spring tides come with the full and the new Moon.", "qas": []},
                {"context": "Moonlight is reflected sunlight. The Moon's albedo is about 0.12.", "qas": []},
            ],
        },
        {
            "title": "Tea",
            "paragraphs": [
                {
                    "context": "Green tea is steamed after picking. Black tea is left to oxidise.",
                    "qas": [
                        {
                            "id": "t1",
                            "question": "What happens to green tea after picking?",
                            "answers": [
                                {"text": "steamed", "answer_start": 13},
                                {"text": "is steamed", "answer_start": 10},
                            ],
                        }
                    ],
                },
                {"context": "Tea is grown in Assam, in Kenya and in Fujian.", "qas": []},
            ],
        },
    ]
}


@pytest.fixture
def squad(tmp_path: Path) -> Path:
    """A tiny file in SQuAD's format: two articles, three questions, one of which nothing answers."""
    file = tmp_path / "tiny.json"
    file.write_text(json.dumps(SQUAD), encoding="utf-8")
    return file


@pytest.fixture
def passage() -> Callable[..., Passage]:
    """Makes a passage."""

    def make(number: int, text: str, path: str = "x.md") -> Passage:
        return Passage(number, "d", path, path, "default", 0, (), (), text, 1, 0, len(text), 0.0, 0.0)

    return make


@pytest.fixture
def citation() -> Callable[..., Citation]:
    """Makes a citation of a passage."""

    def make(number: int, *, verified: bool = True) -> Citation:
        return Citation(number, "model", 0, 0, "", 0, 0, 1.0, verified)

    return make


@pytest.fixture
def cost() -> Cost:
    """What an answer cost."""
    return Cost("m", 0.1, 0.5, 1.0, 100, 20, 10, 40.0)
