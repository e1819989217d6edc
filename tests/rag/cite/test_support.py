"""What counts as supported: the answer together with the question, where it stands in the passage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.embed import Embedder
from ingest.embed.head import BUNDLED_HEAD, read_head
from ingest.embed.late import LateEncoder
from rag.cite import Checks, CitationStream
from rag.cite.claim import Claim
from rag.cite.closeness import TokenCloseness
from rag.cite.nli import EntailmentModel
from rag.cite.support import Support, Supporter
from rag.errors import RagError
from rag.events import Citation, Passage

Make = Callable[..., Passage]
WAR = (
    "France took control of Algeria in 1830. It began in earnest to rebuild its worldwide empire after 1850, chiefly in "
    "Africa. Admiral Dupont led the fleet. The war cost 40 million francs."
)
PRICES = "| Item | 2024 price | 2025 price |\n| --- | --- | --- |\n| Mast | 120 | 135 |\n| Float | 45 | 52 |"


def even(terms: object) -> dict[str, float]:
    return dict.fromkeys(terms, 1.0)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def checks() -> Checks:
    return Checks(TokenCloseness(LateEncoder(Embedder(), read_head(BUNDLED_HEAD))))


def found(question: str, said: str, passage: Passage, checks: Checks | None = None) -> Support:
    return Supporter(question, even, checks).find(Claim.of(question, said), passage)


def cited(question: str, answer: str, passages: list[Passage], checks: Checks | None = None) -> list[Citation]:
    stream = CitationStream(question, passages, even, checks)
    list(stream.push(answer))
    list(stream.finish())
    return stream.citations


def test_a_bare_answer_is_checked_together_with_its_question(make_passage: Make, checks: Checks) -> None:
    war = make_passage(1, WAR)
    right = found("Who led the fleet?", "Admiral Dupont", war, checks)
    assert right.verified
    assert WAR[right.start : right.end] == "Admiral Dupont led the fleet."
    assert found("In which year did France take control of Algeria?", "1830", war, checks).verified
    assert not found("After which year did France begin to rebuild its empire?", "1830", war, checks).verified
    assert not found("Who led the fleet?", "Algeria", war, checks).verified
    assert not found("Who led the fleet?", "Admiral Duval", war, checks).verified


def test_what_is_said_may_be_found_and_yet_not_be_the_answer(make_passage: Make, checks: Checks) -> None:
    war = make_passage(1, WAR)
    year = "After which year did France begin to rebuild its empire?"
    found_only = cited(year, "1830 [1]", [war], checks)[0]
    assert (found_only.verified, found_only.found) == (False, True)
    invented = cited(year, "1849 [1]", [war], checks)[0]
    assert (invented.verified, invented.found) == (False, False)


def test_an_answer_is_not_checked_off_where_the_passage_does_not_know_what_is_asked_about(
    make_passage: Make, checks: Checks
) -> None:
    warranty = make_passage(1, "Under the 2024 edition, rechargeable battery packs are covered for 18 months.")
    question = "For how many months are rechargeable battery packs covered under the {} warranty?"
    assert found(question.format(2024), "18 months", warranty, checks).verified
    support = found(question.format(2023), "18 months", warranty, checks)
    assert (support.verified, support.found) == (False, True)


def test_what_a_passage_denies_is_neither_checked_off_nor_said_there(make_passage: Make, checks: Checks) -> None:
    leave = make_passage(1, "Employees may not carry over unused leave. About a million hours were lost by it in 2020.")
    denied = cited("What happens to leave?", "Employees may carry over unused leave [1].", [leave], checks)[0]
    assert (denied.verified, denied.found) == (False, False)
    assert not found("Who may carry over unused leave?", "Employees", leave, checks).verified
    assert not found("How many hours were lost?", "over a million", leave, checks).found


def test_what_a_follow_up_leans_on_need_not_stand_beside_its_answer(make_passage: Make, checks: Checks) -> None:
    fee = make_passage(1, "The ferry fee in Kelder is 40 euros.")
    assert found("What is the ferry fee in Kelder? (about fee Lindesund)", "40 euros", fee, checks).verified
    assert not found("What is the ferry fee in Lindesund?", "40 euros", fee, checks).verified


def test_of_a_question_in_small_letters_the_rarest_word_has_to_be_there(make_passage: Make, checks: Checks) -> None:
    mayor = make_passage(1, "Anna Holm is the mayor of Oslo.")
    assert found("who is the mayor of oslo?", "Anna Holm", mayor, checks).verified
    assert not found("who is the mayor of zwolle?", "Anna Holm", mayor, checks).verified


def test_an_answer_that_only_repeats_the_question_is_not_checked_off(make_passage: Make, checks: Checks) -> None:
    war = make_passage(1, WAR)
    assert not found("Which admiral led the fleet?", "the fleet", war, checks).verified
    assert found("Was it the fleet or the army that Admiral Dupont led?", "the fleet", war, checks).verified


def test_what_a_place_says_of_one_thing_is_no_comparison(make_passage: Make, checks: Checks) -> None:
    warranty = make_passage(1, "The 2024 edition covers batteries for 18 months. The lamp is covered for a year.")
    assert found("Which edition covers batteries for 18 months?", "the 2024 edition", warranty, checks).verified
    assert not found("Which edition covers batteries longer?", "the 2024 edition", warranty, checks).verified


def test_a_statement_about_something_else_is_no_answer(make_passage: Make, checks: Checks) -> None:
    gauge = make_passage(
        1,
        "No part of the gauge touches the water, so a flood cannot carry the sensor off. "
        "The recorder discards shots that are disturbed by rain, birds or traffic.",
    )
    question = "Why can a flood not carry off the sensor?"
    right = "Because no part of the gauge touches the water."
    wrong = "Because the recorder discards shots that are disturbed by rain, birds or traffic."
    assert found(question, right, gauge, checks).verified
    assert not found(question, wrong, gauge, checks).verified


def test_small_words_that_turn_what_is_said_have_to_be_there(make_passage: Make, checks: Checks) -> None:
    terms = make_passage(1, "Damage by frost is not covered by the warranty. It killed an estimated 25 million people.")
    question = "Is damage by frost covered by the warranty?"
    assert found(question, "No, damage by frost is not covered by the warranty.", terms, checks).verified
    assert not found(question, "Yes, damage by frost is covered by the warranty.", terms, checks).verified
    assert not found("How many people did it kill?", "over 25 million people", terms, checks).verified


def test_without_token_vectors_words_decide(make_passage: Make) -> None:
    war = make_passage(1, WAR)
    assert found("Who led the fleet?", "Admiral Dupont", war).verified
    assert not found("Who led the army of Kenya?", "Admiral Dupont", war).verified


def test_an_answer_written_otherwise_is_found_in_its_place(make_passage: Make, checks: Checks) -> None:
    crew = make_passage(1, "The Petrel sails with a crew of eleven. Its mast is 12 metres high. Dupont built it.")
    for said in ("a crew of 11", "eleven"):
        support = found("With what crew does the Petrel sail?", said, crew, checks)
        assert support.verified
        assert crew.text[support.start : support.end] == "The Petrel sails with a crew of eleven."
    for said in ("a crew of 12", "a crew of eleven masts", "the crew of Dupont"):
        assert not found("With what crew does the Petrel sail?", said, crew, checks).verified


def test_the_first_row_of_a_table_and_headings_say_what_a_row_is_of(make_passage: Make) -> None:
    table = make_passage(1, PRICES, section=("Spare parts for the Merganser",))
    said = "The Merganser mast costs 135 at the 2025 price."
    support = found("", said, table)
    assert support.missing == frozenset()
    assert PRICES[support.start : support.end] == "| Mast | 120 | 135 |"
    assert found("", "The Merganser mast costs 136 at the 2025 price.", table).missing == {"136"}


def test_each_part_of_a_list_is_checked_against_its_own_passage(make_passage: Make) -> None:
    passages = [make_passage(1, "The ferry sails to Italy."), make_passage(2, "The ferry sails to France.")]
    answer = "France [2], Italy [1]"
    citations = cited("Where does the ferry sail to?", answer, passages)
    assert [(each.number, each.quote, each.verified) for each in citations] == [
        (2, "The ferry sails to France.", True),
        (1, "The ferry sails to Italy.", True),
    ]
    assert [answer[each.answer_start : each.answer_end] for each in citations] == ["France [2]", ", Italy [1]"]


def test_a_wrong_number_stays_unverified_and_the_right_place_is_added(make_passage: Make, checks: Checks) -> None:
    passages = [make_passage(1, "The ferry leaves at seven."), make_passage(2, WAR)]
    citations = cited("Who led the fleet?", "Admiral Dupont [1]", passages, checks)
    assert [(each.number, each.origin, each.verified) for each in citations] == [
        (1, "model", False),
        (2, "matched", True),
    ]


def test_a_citation_says_where_it_is_in_passage_and_document(make_passage: Make) -> None:
    passage = make_passage(1, WAR, start=1000, end=1000 + len(WAR), pages=(3, 4))
    (citation,) = cited("Who led the fleet?", "Admiral Dupont [1]", [passage])
    assert (citation.document_id, citation.document_name, citation.pages) == ("1" * 64, "doc1.md", (3, 4))
    assert WAR[citation.passage_start : citation.passage_end] == citation.quote == "Admiral Dupont led the fleet."
    assert citation.quote_start == 1000 + citation.passage_start
    assert citation.quote_end == 1000 + citation.passage_end


def test_a_number_that_was_cut_off_is_not_shown(make_passage: Make) -> None:
    stream = CitationStream("Who?", [make_passage(1, WAR), make_passage(12, WAR)], even)
    shown = "".join(event.text for event in [*stream.push("Dupont [1"), *stream.finish()] if event.type == "token")
    assert shown == stream.answer == "Dupont"


@pytest.fixture(scope="module")
def entailing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier with random weights."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("nli")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz0123456789.?"]
    (folder / "vocab.txt").write_text("\n".join([*words, *(f"##{word}" for word in words[5:])]))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    config = BertConfig(vocab_size=100, id2label=labels, label2id={name: key for key, name in labels.items()}, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def with_bias(folder: Path, label: int, target: Path) -> Path:
    """The same model, sure of one label whatever it reads."""
    from transformers import AutoTokenizer, BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(folder)
    model.classifier.bias.data[label] = 50.0
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    return target


def test_a_model_of_entailment_has_the_last_word(make_passage: Make, entailing: Path, tmp_path: Path) -> None:
    war = make_passage(1, WAR)
    for label, verified in ((2, True), (0, False)):
        checks = Checks(entailment=EntailmentModel(with_bias(entailing, label, tmp_path / str(label))))
        assert found("Who led the fleet?", "Admiral Dupont", war, checks).verified is verified
        # Facts that are not there are missed whatever it says.
        assert not found("Who led the fleet?", "Admiral Duval", war, checks).verified


def test_a_folder_without_such_a_model_is_named(entailing: Path, tmp_path: Path) -> None:
    with pytest.raises(RagError, match=r"^no model of entailment in .*: nli_model must be the folder"):
        EntailmentModel(tmp_path).entailed(["a"], "b")
    config = json.loads((entailing / "config.json").read_text())
    config["id2label"] = {"0": "good", "1": "bad", "2": "ugly"}
    config["label2id"] = {"good": 0, "bad": 1, "ugly": 2}
    other = with_bias(entailing, 0, tmp_path / "other")
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(RagError, match="one of its labels must be 'entailment', they are good, bad, ugly"):
        EntailmentModel(other).entailed(["a"], "b")
