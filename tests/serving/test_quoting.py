"""Answers that only quote, whatever the model says."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.engine.engine import Engine
from serving.engine.options import EngineOptions
from serving.errors import InvalidRequestError
from serving.runtime import Completion, FinishReason
from serving.sampling import Quotable, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

END = 2
PROMPT = [5, 17, 90, 33, 7, 120, 64, 8]
NUMBER = re.compile(r" ?\[(\d+)\]")
ODD_TEXTS = (
    "Paris is in France. It costs -14 €, or $5.50; not 140!",
    "naïve café cafe\u0301, 日本語 and 中文",
    "مرحبا بالعالم \u200f(שלום) 123",
    "👨‍👩‍👧 and 👍🏽 in 🇫🇷🇩🇪",
    "| E27 | Clock lost |\r\n| --- | --- |\r\n| E32 | Humidity 14% |",
    "the dog the dog the dog the dog",
    "\n\n \n",
    "see [1], [2] and [99] – don't\n\n\nend",
    "",
)


@pytest.fixture(scope="module")
def engine(make_tiny: Any, tmp_path_factory: pytest.TempPathFactory, share_kernels: Any) -> Engine:
    home = tmp_path_factory.mktemp("quoting")
    share_kernels(home / "models")
    engine: Engine = make_tiny(home, "llama", eos=END, num_hidden_layers=1).engine()
    return engine


def answer(engine: Engine, texts: Sequence[str], **sampling: Any) -> tuple[str, FinishReason]:
    """The text of an answer that quotes texts, which are numbered from 1."""
    quotables = tuple(Quotable(number, text) for number, text in enumerate(texts, start=1))
    return finished(engine.stream(PROMPT, SamplingParams(quote_from=quotables, **sampling)))


def finished(stream: Any) -> tuple[str, FinishReason]:
    *pieces, last = stream
    assert isinstance(last, Completion)
    return "".join(piece.text for piece in pieces), last.finish_reason


def check(said: str, texts: Sequence[str], *, whole: bool) -> None:
    """Makes sure that an answer is made of words of its texts, without using what made it so."""
    said = said.removeprefix(" ")
    if said == "[0]" or (not whole and "[0]".startswith(said)):
        return
    rest = said
    while found := NUMBER.search(rest, 1):
        if not 1 <= int(found[1]) <= len(texts):  # is quoted
            found = next((each for each in NUMBER.finditer(rest) if 1 <= int(each[1]) <= len(texts)), None)
        if found is None:
            break
        quote, rest = rest[: found.start()], rest[found.start() :]
        while found := NUMBER.match(rest):
            assert stands_in(quote, texts[int(found[1]) - 1]), (quote, found[1], said)
            rest = rest[found.end() :]
        assert re.match(r"(\.|\.?[ \n]|, )?(?![\s\[])", rest), said
        rest = re.sub(r"^(\.?[ \n]|, |\.$)", "", rest)
    if rest and whole:
        assert any(stands_in(rest, text) for text in texts), said


def stands_in(quote: str, text: str) -> bool:
    return any(
        text.startswith(quote, at) and not cut(text, at) and not cut(text, at + len(quote)) for at in range(len(text))
    )


def cut(text: str, at: int) -> bool:
    """Whether a place is within a word, or behind the sign of a number."""
    before, after = text[:at][-1:], text[at:][:1]
    if (before + after).isalnum() and before and after:
        return not any("\u3040" <= character <= "\u9fff" for character in before + after)
    return before in {"-", "$", "\u200d"} or (after in {"€", "%", "\u200d", "\u0301", "🏽"} and before != " ")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.one_of(st.sampled_from(ODD_TEXTS), st.text(st.sampled_from("ab1é日. \n[]"), max_size=30)),
        min_size=1,
        max_size=3,
    ),
    temperature=st.sampled_from([0.0, 0.7, 8.0]),
    seed=st.integers(0, 1000),
    max_new_tokens=st.sampled_from([3, 12, 30]),
)
def test_whatever_the_model_wants_it_says_words_of_the_texts(
    engine: Engine, texts: list[str], temperature: float, seed: int, max_new_tokens: int
) -> None:
    said, ending = answer(engine, texts, temperature=temperature, seed=seed, max_new_tokens=max_new_tokens)
    assert said
    check(said, texts, whole=ending is FinishReason.STOP)


def test_a_text_without_words_can_only_be_declined(engine: Engine) -> None:
    assert answer(engine, ["--- \n"]) == ("[0]", FinishReason.STOP)


def test_drafts_and_company_change_no_answer(engine: Engine) -> None:
    texts = ["the quick brown fox jumps over the lazy dog, and then the dog sleeps in the sun", ODD_TEXTS[0]]
    prompt = engine.tokenizer.encode(texts[0] * 2)
    quotables = tuple(Quotable(number, text) for number, text in enumerate(texts, start=1))
    params = SamplingParams(quote_from=quotables, max_new_tokens=40, logit_bias={END: -100})
    plain = Engine(engine.model, engine.tokenizer, options=EngineOptions(naive=True))
    alone = finished(plain.stream(prompt, params))
    plain.close()
    streams = [engine.stream(prompt, params), engine.stream(prompt, SamplingParams(max_new_tokens=40, n=2))]
    assert finished(streams[0]) == alone
    for _ in streams[1]:
        pass
    check(alone[0], texts, whole=False)


def test_several_answers_quote_each_for_itself(engine: Engine) -> None:
    params = SamplingParams(quote_from=(Quotable(4, ODD_TEXTS[0]),), n=3, temperature=3.0, seed=1, max_new_tokens=30)
    said = ["", "", ""]
    for event in engine.stream(PROMPT, params):
        if not isinstance(event, Completion):
            said[event.index] += event.text
    assert len(set(said)) > 1
    for each in said:
        check(each.replace("[4]", "[1]"), [ODD_TEXTS[0]], whole=False)


def test_it_can_be_cancelled_and_has_its_deadline(engine: Engine) -> None:
    params = SamplingParams(quote_from=(Quotable(1, "word " * 80),), max_new_tokens=300, logit_bias={END: -100})
    cancel = threading.Event()
    stream = engine.stream(PROMPT, params, cancel)
    next(stream)
    cancel.set()
    assert finished(stream)[1] is FinishReason.CANCELLED
    assert finished(engine.stream(PROMPT, params, deadline_s=0.0))[1] is FinishReason.DEADLINE


def test_it_needs_an_end_of_sequence_token_and_texts(engine: Engine, tiny_engine: Any) -> None:
    endless = tiny_engine.engine()
    with pytest.raises(InvalidRequestError, match="end-of-sequence"):
        answer(endless, ["France"])
    endless.close()
    with pytest.raises(InvalidRequestError, match="must hold texts"):
        SamplingParams(quote_from=())
    with pytest.raises(InvalidRequestError, match="regex"):
        SamplingParams(quote_from=(Quotable(1, "a"),), regex="a")
