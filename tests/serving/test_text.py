"""Text is shown in whole characters, without loss, and nothing of a stop string is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.text import AnswerText
from serving.models.tokenizer import Tokenizer

if TYPE_CHECKING:
    from serving.native import NativeRuntime

TEXTS = st.text(alphabet=st.sampled_from("ab \n.é日本🎉👩‍💻ẞ\u0301\ufffd"), max_size=30)


class Characters:
    """Stands for a token stream: every id is a piece of text."""

    def __init__(self, pieces: list[str]) -> None:
        self._pieces = pieces

    def push(self, token_id: int) -> str:
        return self._pieces[token_id]

    def flush(self) -> str:
        return ""


@pytest.fixture(scope="module")
def tokenizer(tiny_engine: Any) -> Tokenizer:
    return Tokenizer(Path(tiny_engine.folder) / "tokenizer.json")


def streamed(tokenizer: Tokenizer, ids: list[int]) -> tuple[list[str], str]:
    stream = tokenizer.stream()
    pieces = [stream.push(token_id) for token_id in ids]
    return pieces, stream.flush()


@given(ids=st.lists(st.integers(0, 299), max_size=40))
def test_pieces_of_any_ids_join_to_the_decoded_whole(tokenizer: Tokenizer, ids: list[int]) -> None:
    """Random ids are mostly broken UTF-8, which a model at a high temperature gives too."""
    pieces, rest = streamed(tokenizer, ids)
    assert "".join(pieces) + rest == tokenizer.decode(ids)


@given(text=TEXTS)
def test_no_character_is_split(tokenizer: Tokenizer, text: str) -> None:
    pieces, rest = streamed(tokenizer, tokenizer.encode(text))
    assert "".join(pieces) + rest == text
    if "\ufffd" not in text:
        assert rest == ""
        assert "\ufffd" not in "".join(pieces)


@given(text=st.text(max_size=30))
def test_any_text_survives_encoding_and_decoding(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_an_answer_that_ends_within_a_character_shows_it_as_replaced(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("ab🎉")[:-1]
    pieces, rest = streamed(tokenizer, ids)
    assert "".join(pieces) == "ab"
    assert set(rest) == {"\ufffd"}


@given(
    pieces=st.lists(st.text("abc", max_size=4), max_size=12),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
def test_the_stop_string_complete_first_ends_the_answer_however_it_is_cut(pieces: list[str], stops: list[str]) -> None:
    """Against the plain way: read character by character, end at the first that completes a stop string."""
    whole = "".join(pieces)
    ends = [end for end in range(len(whole) + 1) if any(whole[:end].endswith(stop) for stop in stops)]
    wanted = whole
    if ends:
        matching = [stop for stop in stops if whole[: ends[0]].endswith(stop)]
        wanted = whole[: ends[0] - max(map(len, matching))]

    text, shown = AnswerText(Characters(pieces), tuple(stops)), ""
    for token_id in range(len(pieces)):
        shown += text.push(token_id)
        assert wanted.startswith(shown), "something was shown that belongs to a stop string"
        if text.stopped:
            break
    shown += text.flush()
    assert shown == wanted
    assert text.stopped == bool(ends)


def test_a_stop_string_over_several_tokens_is_held_back_and_an_almost_one_is_released() -> None:
    text = AnswerText(Characters(["so ", "<", "en", "d", "ing", " <end", ">", "never"]), ("<end>",))
    assert [text.push(token_id) for token_id in range(7)] == ["so ", "", "", "", "<ending", " ", ""]
    assert text.stopped
    assert text.flush() == ""


@pytest.mark.slow
@given(ids=st.lists(st.integers(0, 49151), max_size=30), text=TEXTS)
def test_the_bundled_tokenizer_streams_without_loss(bundled: NativeRuntime, ids: list[int], text: str) -> None:
    tokenizer = bundled.engine.tokenizer
    for chosen in (ids, tokenizer.encode(text), tokenizer.encode(text) + ids):
        pieces, rest = streamed(tokenizer, chosen)
        assert "".join(pieces) + rest == tokenizer.decode(chosen)
