import pytest

from indexes import Index
from tests.indexes.contract import IndexContract


class TestIndex(IndexContract):
    @pytest.fixture
    def open_index(self, tmp_path):
        return lambda identity: Index.open(tmp_path / "index", identity)
