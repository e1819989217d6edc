"""Compression: what of passages stays for a question, and that only that reaches the model."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

from rag.compress import Compressor
from rag.compress.model import ModelJudge
from rag.errors import RagError
from serving.runtime import Prompt, PromptPassage

HEAD = "manual.md > Gauge\n"
MANUAL = (
    HEAD
    + "The gauge measures the level of a river. It is mounted below a bridge. The desiccant cartridge is replaced\n"
    "every 14 months. Batteries last for two winters. The housing is made of aluminium.\n"
)
QUESTION = "When is the desiccant cartridge replaced?"


def token_offsets(text):
    """Words with the space before them are tokens, as are line ends."""
    return [match.start() for match in re.finditer(r" ?[^\s]+|\s", text)]


def compressor(share):
    return Compressor(share, token_offsets, lambda wanted: dict.fromkeys(wanted, 1.0))


def shortened(text, share, question=QUESTION):
    return together([text], share, question)[0]


def together(texts, share, question=QUESTION, judge=None):
    """What is left of each of several passages, best first."""
    kept = replace(compressor(share), judge=judge).kept(texts, question)
    return [
        "".join(text[start:end] for start, end in spans or ((0, len(text)),))
        for text, spans in zip(texts, kept, strict=True)
    ]


def test_the_sentence_that_bears_on_the_question_stays_whole_across_a_line_break():
    assert shortened(MANUAL, 0.3) == HEAD + " The desiccant cartridge is replaced\nevery 14 months.\n"


def test_it_stays_even_if_it_is_longer_than_what_may_stay():
    assert "every 14 months" in shortened(MANUAL, 0.01)


def test_as_many_sentences_stay_as_the_share_allows_in_their_order():
    left = shortened(MANUAL, 0.6)
    first, wanted = "The gauge measures the level of a river.", " The desiccant cartridge is replaced\nevery 14 months."
    assert left == HEAD + first + wanted + "\n"
    assert len(token_offsets(left)) <= 0.6 * len(token_offsets(MANUAL)) < len(token_offsets(left)) + 5


def test_nothing_is_left_out_where_everything_may_stay():
    assert compressor(1.0).kept([MANUAL], QUESTION) == [()]


def test_a_passage_of_one_piece_stays_as_it_is():
    assert compressor(0.1).kept([HEAD + "One sentence alone.\n"], QUESTION) == [()]


def test_a_heading_stays_where_a_sentence_below_it_does():
    text = "notes.md\nMounting\n\nUse the bracket.\n\nDrying\n\nThe desiccant cartridge is replaced often.\n"
    assert shortened(text, 0.1) == "notes.md\n\n\nDrying\n\nThe desiccant cartridge is replaced often.\n"
    assert shortened(text, 0.1, "Is a bracket used?") == "notes.md\nMounting\n\nUse the bracket.\n"


def test_the_budget_is_shared_and_goes_to_what_bears_on_the_question():
    other = "trip.md\nThe bus was late. We walked along the river. Lunch was bread and cheese below a bridge.\n"
    first, second = together([MANUAL, other], 0.5)
    assert "every 14 months" in first
    assert len(first) / len(MANUAL) > 0.5 > len(second) / len(other)
    assert second.startswith("trip.md\n")
    num_left = len(token_offsets(first)) + len(token_offsets(second))
    assert num_left <= 0.5 * (len(token_offsets(MANUAL)) + len(token_offsets(other))) + 1


def test_a_worse_passage_may_keep_nothing_but_where_it_comes_from():
    assert together([MANUAL, "trip.md\nThe bus was late. We walked.\n"], 0.3)[1] == "trip.md\n\n"


@pytest.mark.parametrize(
    "whole",
    [
        "- The cartridge is dried. It is replaced after that. Keep the old one.",
        "2. The cartridge is dried. It is replaced after that. Keep the old one.",
        "| part | when |\n| --- | --- |\n| cartridge | replaced yearly |\n| battery | never |",
        "part: cartridge; replaced: yearly.\npart: battery; replaced: never. Not even then.",
    ],
    ids=["bullet", "numbered", "grid", "records"],
)
def test_tables_and_list_items_stay_whole_or_not_at_all(whole):
    text = f"{HEAD}A gauge has parts. They wear.\n\n{whole}\n\nAsk the desk for others. It knows them all.\n"
    assert whole in shortened(text, 0.1)
    left = shortened(text, 0.1, "What does the desk know?")
    assert not any(part in left for part in re.split(r"\n|(?<=\.) ", whole))


def test_a_question_without_content_keeps_the_beginning():
    assert shortened(MANUAL, 0.3, "What is it?").startswith(HEAD + "The gauge measures")


def test_what_sets_a_passage_apart_from_the_next_stays():
    assert shortened(MANUAL + "\n", 0.3).endswith("\n")


_TEXTS = st.lists(
    st.sampled_from(["One two. ", "Three; four!\n", "\n\n", "- five. six\n", "a: b; c\n", "| d |\n", " "])
).map(lambda parts: HEAD + "".join(parts) + "End.")


@given(_TEXTS, st.floats(0.05, 1.0))
def test_spans_are_apart_ascending_and_within_the_text(text, share):
    (spans,) = compressor(share).kept([text], "Three or five?")
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(set(edges))
    assert not spans or (edges[0] == 0 and edges[-1] == len(text))


def test_a_prompt_keeps_its_texts_and_says_which_spans_of_them_are_read():
    other = "trip.md\nThe bus was late. We walked along the river.\n"
    passages = (PromptPassage(other, "[2]\n\n"), PromptPassage(MANUAL, "[1]\n\n"))
    left = compressor(0.4).compress(Prompt("Answer.", passages, "Question: " + QUESTION), QUESTION).passages
    assert [passage.text for passage in left] == [other, MANUAL]
    assert [passage.kept for passage in reversed(left)] == compressor(0.4).kept([MANUAL, other], QUESTION)


@pytest.fixture(scope="module")
def marking(tmp_path_factory):
    """A folder with a tiny token classification model that keeps the word `batteries` and what is near it."""
    folder = tmp_path_factory.mktemp("marking")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(re.findall(r"\w+|\.", (MANUAL + QUESTION).lower())))]
    vocabulary = {word: place for place, word in enumerate(words)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=96,
        num_labels=2,
    )
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for parameter in model.bert.encoder.parameters():
            parameter.zero_()  # so that only the word decides, through the layer norms' shares
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1)
                module.bias.zero_()
        embeddings = model.bert.embeddings
        for table in (embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings):
            table.weight.zero_()
        embeddings.word_embeddings.weight[:, 0] = 1
        embeddings.word_embeddings.weight[vocabulary["batteries"], 0] = -1
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()
        model.classifier.weight[1, 0] = -9
    model.save_pretrained(folder)
    return folder


def test_a_model_by_path_marks_what_stays(marking):
    (left,) = together([MANUAL], 0.3, judge=ModelJudge(marking))
    assert "Batteries last for two winters." in left
    assert "14 months" not in left


def test_a_model_reads_passages_longer_than_its_input_in_windows(marking):
    text = HEAD + "The housing is made of aluminium. " * 40 + "Batteries last for two winters. It is replaced."
    pieces = re.findall(r"[^.\n]+[.\n]", text)
    (scores,) = ModelJudge(marking).scores(QUESTION, [pieces])
    assert len(scores) == len(pieces)
    assert scores.index(max(scores)) == len(pieces) - 2


def test_a_folder_without_such_a_model_is_named_in_one_line(tmp_path):
    with pytest.raises(RagError, match="compressor_model must be the folder") as caught:
        ModelJudge(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
