"""The rerankers that are compared, by the names in which they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.errors import RagError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rag.app import Rag
    from rag.config import Settings
    from rag.rerank.types import Reranker

    Notify = Callable[[str], None]

_CROSS_ENCODER = "cross-encoder="
_NAMES = frozenset({"late", "llm"})


def load_rerankers(rag: Rag, settings: Settings, names: Sequence[str] | None, notify: Notify) -> list[Reranker]:
    """Those of the names, ready to judge candidates of the index; the one of the settings, if any, without names.

    Args:
        rag: opened on the corpus.
        settings: the person's own, whose reranker may have been tuned.
        names: `late`, `llm`, or `cross-encoder=` with a path or name behind it.

    Raises:
        RagError: there is no reranker of a name.
    """
    wanted = [settings] if names is None else [_settings(settings, name) for name in names]
    made = (_load(rag, one, notify) for one in wanted)
    return [reranker for reranker in made if reranker is not None]


def _settings(settings: Settings, name: str) -> Settings:
    if name.startswith(_CROSS_ENCODER) and (model := name.removeprefix(_CROSS_ENCODER)):
        return settings.model_copy(update={"rerank": "cross-encoder", "reranker_model": model})
    if name not in _NAMES:
        raise RagError(f"there is no reranker {name!r}; there are: late, llm, and cross-encoder=PATH")
    return settings.model_copy(update={"rerank": name})


def _load(rag: Rag, settings: Settings, notify: Notify) -> Reranker | None:
    from ingest.embed.late import fill_in
    from rag.rerank.load import load_late, load_reranker

    late = load_late(settings, rag.embedder)
    if late is not None:
        notify("making token vectors of passages that have none")
        rag.index.use_token_vectors(late.identity)
        fill_in(rag.index, late, rag.settings.collection)
    return load_reranker(settings, rag.index, late, lambda: rag.runtime)
