"""Engines of a tiny model, and what compiles grammars for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from serving.engine.grammar import GrammarCompiler
from serving.models.tokenizer import Tokenizer
from tests.serving.engine.asking import wait_until_idle
from tests.serving.engine.grammars import EOS, VOCAB_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from serving.engine.engine import Engine


@pytest.fixture
def make(tiny_engine: Any) -> Iterator[Callable[..., Engine]]:
    """Makes engines of the tiny Llama; after the test nothing runs in them and every block is accounted for."""
    engines = []

    def make(**options: Any) -> Engine:
        engines.append(tiny_engine.engine(**options))
        return engines[-1]

    yield make
    for engine in engines:
        wait_until_idle(engine)
        engine.check()
        engine.close()


@pytest.fixture
def engine(make: Callable[..., Engine]) -> Engine:
    return make()


@pytest.fixture(scope="session")
def tokenizer(tiny_engine: Any) -> Tokenizer:
    return Tokenizer(tiny_engine.folder / "tokenizer.json")


@pytest.fixture(scope="session")
def compiler(tokenizer: Tokenizer) -> GrammarCompiler:
    return GrammarCompiler(tokenizer, VOCAB_SIZE, EOS)
