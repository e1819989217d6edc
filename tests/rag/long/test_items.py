"""Items of several replies become one list: each once, with every passage that names it, in order."""

from __future__ import annotations

from dataclasses import replace

from rag.events import Passage
from rag.long.items import Items, items_of

TEXTS = (
    "The harbour serves Lindesund, Kelder and the Isle of Var. Boats leave at seven.",
    "Kelder has two quays. The lamp oil is kept in Sund.",
    "Boats to the Isle of Var need a pilot.",
)


def _passages() -> list[Passage]:
    return [
        Passage(
            number=number,
            document_id="d",
            document_name="harbour.txt",
            path="harbour.txt",
            collection="default",
            ordinal=number,
            pages=(),
            section=(),
            text=text,
            num_tokens=20,
            start=0,
            end=len(text),
            score=1.0,
            similarity=0.5,
        )
        for number, text in enumerate(TEXTS, start=1)
    ]


def test_a_reply_is_taken_apart_into_what_stands_in_its_passage() -> None:
    passage = _passages()[0]
    whole = ["Lindesund", "Kelder", "Isle of Var"]
    assert items_of("Lindesund [1], Kelder [1], Isle of Var [1]", passage) == whole
    assert items_of("The places are Lindesund, Kelder and the Isle of Var [1].", passage) == whole
    assert items_of("- Lindesund\n- Kelder\n- the Isle of Var", passage) == whole
    assert items_of("The places are: 1. Lindesund, 2. Kelder [1].", passage) == whole[:2]


def test_what_does_not_stand_in_the_passage_is_no_item() -> None:
    passage = _passages()[0]
    assert items_of("Lindesund [1], Atlantis [1]", passage) == ["Lindesund"]
    assert items_of("I do not know", passage) == []
    assert items_of("", passage) == []


def test_what_is_said_of_an_item_stays_with_it() -> None:
    passage = _passages()[2]
    assert items_of("Boats to the Isle of Var need a pilot [1].", passage) == ["Boats to the Isle of Var need a pilot"]
    said = "Ada Lind, elected in 2022 and again in 2025"
    assert items_of(f"{said} [1]", replace(passage, text=f"There is {said}.")) == [said]


def test_counted_things_are_items_and_clauses_are_none() -> None:
    pool = replace(
        _passages()[0], text="The pool holds two Herons, four Dippers and Bitterns. It is full, grade C is ice."
    )
    assert items_of("two Herons, four Dippers and Bitterns [1]", pool) == ["two Herons", "four Dippers", "Bitterns"]
    assert items_of("It is full, grade C is ice [1]", pool) == []


def test_an_item_is_given_once_nothing_can_be_added_to_it() -> None:
    items = Items("Which places does the harbour serve?", _passages())
    first = list(items.take("Lindesund [1], Kelder [1], Isle of Var [1]"))
    assert [(item.text, item.numbers) for item in first] == [("Lindesund", [1])]
    second = list(items.take("Kelder [1], Sund [1]"))
    assert [(item.text, item.numbers) for item in second] == [("Kelder", [1, 2])]
    third = list(items.take("the isle of Var [1]"))
    assert [(item.text, item.numbers) for item in third] == [("Isle of Var", [1, 3]), ("Sund", [2])]


def test_declined_passages_and_the_questions_own_words_add_nothing() -> None:
    items = Items("What is there beside boats?", _passages())
    assert [item.text for reply in ("", "Boats [1]", "pilot [1]") for item in items.take(reply)] == ["pilot"]
