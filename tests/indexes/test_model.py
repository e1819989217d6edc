"""Random histories of an index against a plain dict of what it must hold."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from indexes import Index
from tests.indexes.records import IDENTITY, record, vector_of

COLLECTIONS = st.sampled_from(["default", "Other one"])
PATHS = st.sampled_from(["/a.txt", "/b.txt", "/c.txt"])
TEXTS = st.lists(st.sampled_from(["apple", "pear", "plum", "cherry"]), max_size=3, unique=True).map(tuple)


class History(RuleBasedStateMachine):
    """The model is a dict from (collection, path) to the texts of the document there."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.index = Index.open(Path(self.folder.name), IDENTITY)
        self.model = {}

    def teardown(self):
        self.index.close()
        self.folder.cleanup()

    def held(self, collection):
        return {texts for (name, _), texts in self.model.items() if name == collection}

    @rule(collection=COLLECTIONS, path=PATHS, texts=TEXTS)
    def write(self, collection, path, texts):
        before = self.model.get((collection, path))
        if before == texts:
            expected = "unchanged"
        elif before is not None:
            expected = "replaced"
        else:
            expected = "duplicate" if texts in self.held(collection) else "added"
        assert self.index.write(record(*texts, path=path, collection=collection)) == expected
        self.model[collection, path] = texts

    @rule(collection=COLLECTIONS, path=PATHS)
    def remove_source(self, collection, path):
        texts = self.model.pop((collection, path), None)
        expected = None if texts is None else record(*texts).document.id
        assert self.index.remove_source(collection, path) == expected

    @rule(collection=COLLECTIONS, texts=TEXTS)
    def delete(self, collection, texts):
        if texts in self.held(collection):
            self.index.delete(record(*texts).document.id, collection)
            self.model = {key: each for key, each in self.model.items() if key[0] != collection or each != texts}

    @rule(collection=COLLECTIONS)
    def delete_collection(self, collection):
        assert self.index.delete_collection(collection) == len(self.held(collection))
        self.model = {key: texts for key, texts in self.model.items() if key[0] != collection}

    @rule()
    def flush(self):
        self.index.flush()

    @rule()
    def reopen(self):
        self.index.close()
        self.index = Index.open(Path(self.folder.name), IDENTITY)

    @invariant()
    def finds_what_it_must_hold(self):
        for collection in ("default", "Other one"):
            expected = sorted(text for texts in self.held(collection) for text in texts)
            dense = self.index.search_dense(collection, vector_of("anything"), 100)
            words = self.index.search_text(collection, "apple pear plum cherry", 100)
            assert sorted(hit.chunk.text for hit in dense) == expected
            assert sorted(hit.chunk.text for hit in words) == expected

    @invariant()
    def knows_each_path(self):
        for (collection, path), texts in self.model.items():
            assert self.index.source_hash(collection, path) == record(*texts).document.id
        for document in self.index.documents():
            assert (document.collection, document.path) in self.model
        assert {info.name for info in self.index.collections()} == {name for name, _ in self.model}

    @invariant()
    def is_whole(self):
        assert self.index.verify() == []


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)
