"""Two editions of a text are told apart by their sentences; two texts are not."""

from __future__ import annotations

from ingest.extract.markdown import extract_markdown
from rag.long.differences import Difference, differences

OLD = """# Terms

The pack is covered for 18 months. The mast is covered for ten years. Salt is not covered.

## Carriage

We pay carriage in both directions. Send it in its box. Mud is not welcome.
"""
NEW = """# Terms

The mast is covered for ten years. The pack is covered for 24 months. Salt is not covered.

## Carriage

We pay carriage in both directions. Send it in its box. A form has to be signed.
"""


def _found(old: str, new: str) -> tuple[list[Difference], int] | None:
    return differences(extract_markdown(old.encode()).elements, extract_markdown(new.encode()).elements)


def test_what_was_changed_stands_beside_what_it_was_and_what_moved_is_the_same() -> None:
    found = _found(OLD, NEW)
    assert found is not None
    changed, num_equal = found
    assert num_equal == 4
    texts = {(each.first and each.first.text, each.second and each.second.text) for each in changed}
    assert ("Mud is not welcome.", None) in texts
    assert (None, "A form has to be signed.") in texts
    assert {first for first, _ in texts if first} == {"The pack is covered for 18 months.", "Mud is not welcome."}
    assert {second for _, second in texts if second} == {
        "The pack is covered for 24 months.",
        "A form has to be signed.",
    }


def test_a_changed_sentence_is_one_difference_with_both_places() -> None:
    found = _found(OLD, OLD.replace("18 months", "24 months"))
    assert found is not None
    ((difference,), _) = found
    assert difference.first is not None
    assert difference.second is not None
    assert difference.second.text == "The pack is covered for 24 months."
    text = "\n\n".join(element.text for element in extract_markdown(OLD.encode()).elements)
    assert text[difference.first.start : difference.first.end] == "The pack is covered for 18 months."
    assert "pack" in difference.terms


def test_the_same_text_has_no_differences_and_another_text_is_no_edition() -> None:
    assert _found(OLD, OLD) == ([], 6)
    assert _found(OLD, "# Boats\n\nThe ferry leaves at seven. It takes forty minutes.") is None
    assert _found(OLD, "") is None
