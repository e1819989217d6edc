"""One home for the tests of long answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rag.demo
from rag.app import Rag

DEMO = Path(rag.demo.__file__).parent / "docs"
NAMES = (
    "price-list-2025.csv",
    "about-sallowfield.md",
    "warranty-terms-2024.md",
    "warranty-terms-2025.md",
    "memo-kelder-bridge.txt",
)


@pytest.fixture(scope="session")
def opened(make_home: Callable[[], Path]) -> Iterator[Rag]:
    """The product with some of the demo's documents."""
    with Rag.open(make_home()) as rag:
        list(rag.ingest([DEMO / name for name in NAMES]))
        yield rag
