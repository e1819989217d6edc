"""Short documents to rerank, in a real index."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from rag.app import Rag
from rag.config import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path


@pytest.fixture(scope="session")
def open_texts(
    make_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Mapping[str, str]], AbstractContextManager[Rag]]:
    """Opens the product on texts by name, each a document."""

    @contextmanager
    def opened(texts: Mapping[str, str]) -> Iterator[Rag]:
        documents = tmp_path_factory.mktemp("texts")
        for name, text in texts.items():
            (documents / f"{name}.txt").write_text(text)
        with Rag.open(settings=load_settings(make_home(), min_relevance=0)) as rag:
            list(rag.ingest([documents]))
            yield rag

    return opened
