"""Test collections as they are published, and those that are not whole."""

import json

import pytest

from rag.errors import RagError
from rag.eval.retrieval.read import read_dataset


def squad(*qas, context="Iron rusts in water."):
    return {"data": [{"title": "Rust_and_iron", "paragraphs": [{"context": context, "qas": list(qas)}]}]}


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def asked(number, *answers):
    return {"id": number, "question": "What rusts?", "answers": [{"text": t, "answer_start": s} for t, s in answers]}


def test_a_folder_in_beirs_layout_is_read_with_its_grades(beir):
    dataset = read_dataset(beir)
    assert dataset.name == "small"
    assert [entry.id for entry in dataset.entries] == ["bees", "iron", "tea", "moon", "bread"]
    assert dataset.entries[1].title == "Iron"
    assert {query.id: query.grades for query in dataset.queries}["q5"] == {"bread": 3, "tea": 1}


def test_a_single_file_of_judgements_will_do_whatever_its_name(beir):
    (beir / "qrels" / "test.tsv").rename(beir / "qrels" / "dev.tsv")
    assert len(read_dataset(beir).queries) == 5


@pytest.mark.parametrize(
    ("file", "line", "text", "message"),
    [
        ("corpus.jsonl", 2, "{", r"corpus\.jsonl, line 2: not JSON"),
        ("corpus.jsonl", 3, "[1]", r"corpus\.jsonl, line 3: not a JSON object"),
        ("corpus.jsonl", 1, '{"_id": "x"}', r"corpus\.jsonl, line 1: 'text' is missing"),
        ("queries.jsonl", 2, '{"_id": 7, "text": "?"}', r"queries\.jsonl, line 2: '_id' must be text"),
        ("qrels/test.tsv", 2, "q1\tiron", r"test\.tsv, line 2: 2 columns"),
        ("qrels/test.tsv", 3, "q1\tiron\thigh", r"test\.tsv, line 3: the score 'high'"),
        ("qrels/test.tsv", 2, "q9\tiron\t1", r"test\.tsv, line 2: there is no query 'q9'"),
        ("qrels/test.tsv", 2, "q1\tgold\t1", r"test\.tsv, line 2: there is no document 'gold'"),
    ],
)
def test_a_fault_is_named_with_its_file_and_line(beir, file, line, text, message):
    lines = (beir / file).read_text().splitlines()
    lines[line - 1] = text
    (beir / file).write_text("\n".join(lines) + "\n")
    with pytest.raises(RagError, match=message) as error:
        read_dataset(beir)
    assert "\n" not in str(error.value)


def test_what_is_missing_or_ambiguous_is_named(beir, tmp_path):
    (beir / "qrels" / "train.tsv").write_text("")
    (beir / "qrels" / "test.tsv").rename(beir / "qrels" / "dev.tsv")
    with pytest.raises(RagError, match=r"a single \.tsv file; there is: dev\.tsv, train\.tsv"):
        read_dataset(beir)
    with pytest.raises(RagError, match=r"no test collection"):
        read_dataset(tmp_path)
    (beir / "queries.jsonl").unlink()
    with pytest.raises(RagError, match=r"queries\.jsonl: cannot be read"):
        read_dataset(beir)


def test_an_id_that_stands_twice_is_named(beir):
    with (beir / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "tea", "text": "again"}\n')
    with pytest.raises(RagError, match="two documents have the id 'tea'"):
        read_dataset(beir)


def test_paragraphs_of_squad_are_searched_under_their_articles_title(tmp_path):
    dataset = read_dataset(write(tmp_path / "f.json", squad(asked("a", ("Iron", 0)), asked("b"))))
    (entry,) = dataset.entries
    assert (entry.title, entry.group) == ("Rust and iron", "Rust and iron")
    assert [query.id for query in dataset.queries] == ["a"]
    assert dataset.queries[0].evidence[0].text == "Iron"
    assert [query.id for query in dataset.unanswerable] == ["b"]


def test_a_paragraph_that_lacks_something_is_named(tmp_path):
    content = squad(asked("a", ("Iron", 0)))
    content["data"][0]["paragraphs"].append({"qas": []})
    with pytest.raises(RagError, match=r"f\.json, article 1 \(Rust and iron\), paragraph \d: not in SQuAD's format"):
        read_dataset(write(tmp_path / "f.json", content))


def test_excerpts_of_long_documents_are_found_by_chunk(tmp_path):
    (tmp_path / "book.md").write_text("# Metals\n\nIron **rusts** in water.\n")
    references = json.dumps([{"content": "Iron **rusts**", "start_index": 10, "end_index": 24}])
    quoted = references.replace('"', '""')
    (tmp_path / "questions_df.csv").write_text(f'question,references,corpus_id\nWhat rusts?,"{quoted}",book\n')
    dataset = read_dataset(tmp_path)
    assert dataset.by_chunk
    assert dataset.queries[0].evidence[0].start == 10
    (tmp_path / "questions_df.csv").write_text("question,references,corpus_id\nWhat rusts?,nothing,book\n")
    with pytest.raises(RagError, match=r"questions_df\.csv, line 2: 'references' is not a list of excerpts"):
        read_dataset(tmp_path)


def test_passages_of_all_multi_hop_questions_are_searched_and_those_with_an_answer_are_right(tmp_path):
    passages = [{"title": "", "text": "The capital is Oslo."}, {"title": "", "text": "Norway is cold."}]
    content = [
        {"question": "Capital?", "answers": ["oslo"], "ctxs": passages},
        {"question": "Cold?", "answers": ["absent"], "ctxs": passages},
    ]
    dataset = read_dataset(write(tmp_path / "m.json", content))
    assert len(dataset.entries) == 2
    assert [(query.text, query.grades) for query in dataset.queries] == [("Capital?", {"0": 1})]
    assert dataset.queries[0].evidence[0].text == "Oslo"


def test_an_abstract_answers_the_question_of_its_article(tmp_path):
    content = {"77": {"QUESTION": "Does it?", "CONTEXTS": ["It does.", "So we saw."]}}
    dataset = read_dataset(write(tmp_path / "p.json", content))
    assert dataset.entries[0].text == "It does.\n\nSo we saw."
    assert dataset.queries[0].grades == {"77": 1}
