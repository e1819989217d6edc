import itertools

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.types import ElementKind
from ingest.chunk import chunk_elements, tiktoken_offsets
from ingest.errors import IngestSettingsError
from ingest.extract.document import Block, lay_out
from tests.ingest.conftest import _encoding

ENCODING = _encoding()
OFFSETS = tiktoken_offsets(ENCODING)

words = st.sampled_from(
    ["the", "fox", "jumps", "Number", "12.5", "naïve", "漢字", "🦊", "e.g.", "Dr.", "x" * 70, "A|B", "ﬁ", "\u0301e"]
)
sentences = st.lists(words, min_size=1, max_size=30).map(" ".join)
texts = st.lists(sentences, min_size=1, max_size=6).flatmap(
    lambda parts: st.sampled_from([". ", "! ", "\n", "。", "  "]).map(lambda mark: mark.join(parts))
)
blocks = st.builds(
    Block,
    kind=st.sampled_from(list(ElementKind)),
    text=texts | st.text(max_size=40),
    level=st.integers(1, 6),
    page=st.none() | st.integers(1, 4),
)
documents = st.lists(blocks, max_size=12).map(lay_out)


def chunks_of(document, **settings):
    return chunk_elements("d", document.elements, OFFSETS, **settings)


@settings(max_examples=300, deadline=None)
@given(document=documents, max_tokens=st.integers(16, 80), share=st.floats(0, 0.9))
def test_chunks_cover_the_document_exactly_in_order_and_within_their_limits(document, max_tokens, share):
    overlap_tokens = int(max_tokens * share)
    chunks = chunks_of(document, max_tokens=max_tokens, overlap_tokens=overlap_tokens)
    text = document.text
    covered = bytearray(len(text))
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.num_tokens == len(ENCODING.encode_ordinary(chunk.text)) <= max_tokens
        assert chunk.text.strip()
        covered[chunk.start : chunk.end] = b"\1" * (chunk.end - chunk.start)
    assert all(inside or character.isspace() for inside, character in zip(covered, text, strict=True))
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    for before, after in itertools.pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end
        assert len(OFFSETS(text[after.start : before.end])) <= overlap_tokens
    assert chunks == chunks_of(document, max_tokens=max_tokens, overlap_tokens=overlap_tokens)


@given(st.text(max_size=200))
def test_tiktoken_offsets_are_where_each_token_starts(text):
    text = text.encode("utf-8", "replace").decode()
    offsets = OFFSETS(text)
    tokens = ENCODING.encode_ordinary(text)
    assert len(offsets) == len(tokens)
    consumed = b""
    for offset, token in zip(offsets, tokens, strict=True):
        assert offset == len((consumed + b"").decode("utf-8", "ignore"))
        consumed += ENCODING.decode_single_token_bytes(token)


def test_special_tokens_in_a_text_are_ordinary_text():
    encoding = tiktoken.Encoding(
        "special",
        pat_str=r"\s+|\S+",
        mergeable_ranks={bytes([value]): value for value in range(256)},
        special_tokens={"<|end|>": 300},
    )
    assert len(tiktoken_offsets(encoding)("<|end|>")) == len("<|end|>")


def paragraph(text, page=None):
    return Block(ElementKind.PARAGRAPH, text, page=page)


def heading(text, level=1, page=None):
    return Block(ElementKind.HEADING, text, level=level, page=page)


SENTENCE = "The quick brown fox jumps over the lazy dog number {}. "


def prose(count, first=0):
    return "".join(SENTENCE.format(number) for number in range(first, first + count))


def test_a_chunk_ends_between_sentences_and_the_next_repeats_the_last_ones():
    document = lay_out([paragraph(prose(40))])
    chunks = chunks_of(document, max_tokens=64, overlap_tokens=20)
    assert len(chunks) > 5
    for chunk in chunks:
        assert chunk.text.startswith("The quick")
        assert chunk.text.endswith(".")
    for before, after in itertools.pairwise(chunks):
        assert after.start < before.end


def test_a_heading_is_never_left_behind_by_what_follows_it():
    blocks = [part for n in range(8) for part in (heading(f"Section {n}", 2), paragraph(prose(5, n)))]
    for chunk in chunks_of(lay_out(blocks), max_tokens=80, overlap_tokens=10):
        assert not chunk.text.splitlines()[-1].startswith("Section")


def test_a_main_section_starts_a_new_chunk_without_overlap():
    document = lay_out([heading("One"), paragraph(prose(4)), heading("Two"), paragraph(prose(4))])
    chunks = chunks_of(document, max_tokens=200, overlap_tokens=20)
    assert [chunk.text.splitlines()[0] for chunk in chunks] == ["One", "Two"]


def test_small_sections_share_a_chunk_whose_section_is_what_they_have_in_common():
    document = lay_out(
        [
            heading("Manual"),
            heading("Setup", 2),
            paragraph("Plug it in."),
            heading("Use", 2),
            paragraph("Press the button."),
        ]
    )
    (chunk,) = chunks_of(document, max_tokens=200, overlap_tokens=0)
    assert chunk.section == ("Manual",)


def test_the_section_is_the_path_of_headings_and_the_pages_those_it_touches():
    document = lay_out(
        [heading("Manual", page=1), heading("Setup", 2, page=1), paragraph(prose(6), 1), paragraph(prose(6), 2)]
    )
    chunks = chunks_of(document, max_tokens=64, overlap_tokens=0)
    assert {chunk.section for chunk in chunks} == {("Manual", "Setup")}
    assert chunks[0].pages == (1,)
    assert chunks[-1].pages == (2,)


def test_a_table_is_cut_between_its_rows():
    rows = "\n".join(f"Name: item {n}; Price: {n} coins" for n in range(40))
    for chunk in chunks_of(lay_out([Block(ElementKind.TABLE, rows)]), max_tokens=64, overlap_tokens=16):
        assert chunk.text.startswith("Name:")
        assert chunk.text.endswith("coins")


def test_a_sentence_longer_than_a_chunk_is_cut_between_words():
    text = " ".join(f"word{n}" for n in range(300))
    for chunk in chunks_of(lay_out([paragraph(text)]), max_tokens=40, overlap_tokens=8):
        assert all(word.startswith("word") for word in chunk.text.split())


def test_abbreviations_do_not_end_a_sentence():
    text = prose(3) + "Dr. Smith wrote Fig. 3 with J. Jones, e.g. here. " + prose(3)
    for chunk in chunks_of(lay_out([paragraph(text)]), max_tokens=64, overlap_tokens=0):
        assert not chunk.text.endswith(("Dr.", "Fig.", "J."))


def test_no_elements_give_no_chunks():
    assert chunks_of(lay_out([])) == ()


@pytest.mark.parametrize(("max_tokens", "overlap_tokens"), [(64, 64), (64, 100), (64, -1), (8, 0)])
def test_settings_that_contradict_each_other_are_refused(max_tokens, overlap_tokens):
    with pytest.raises(IngestSettingsError, match=r"overlap|too short"):
        chunks_of(lay_out([]), max_tokens=max_tokens, overlap_tokens=overlap_tokens)


def test_a_long_run_without_spaces_and_a_megabyte_of_prose_take_linear_work():
    calls = 0

    def counting(text):
        nonlocal calls
        calls += len(text)
        return range(0, len(text), 4)

    text = "x" * 50_000 + "\n\n" + prose(5_000)
    document = lay_out([paragraph(part) for part in text.split("\n\n")])
    chunk_elements("d", document.elements, counting, max_tokens=256, overlap_tokens=32)
    assert calls < 4 * len(text)
