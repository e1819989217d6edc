"""Prompts as runtimes take them."""

from __future__ import annotations

from dataclasses import replace

from serving.runtime import Prompt, PromptPassage, SegmentKind


def test_a_prompt_names_its_segments_in_the_order_of_reading() -> None:
    prompt = Prompt("be brief", (PromptPassage("one", "[1]"), PromptPassage("two")), "why?")
    assert [(segment.kind, segment.text) for segment in prompt.segments] == [
        (SegmentKind.INSTRUCTIONS, "be brief"),
        (SegmentKind.PASSAGE, "one"),
        (SegmentKind.NUMBER, "[1]"),
        (SegmentKind.PASSAGE, "two"),
        (SegmentKind.QUESTION, "why?"),
    ]
    first = replace(prompt, numbers_first=True)
    assert [segment.text for segment in first.segments] == ["be brief", "[1]", "one", "two", "why?"]
