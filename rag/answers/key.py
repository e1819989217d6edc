"""What an answer depends on: where two questions have the same key, the second's answer is the first's."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rag.prompt import instructions

if TYPE_CHECKING:
    from rag.ask_settings import AskSettings
    from rag.config import Settings

# No answer is another for what is set here; a setting that is not named may shape answers, and is part of their keys.
_INDIFFERENT = {
    *("home", "collection", "host", "port", "allowed_hosts", "max_upload_mb", "max_queue", "max_running"),
    "target_ttft_ms",  # an answer that is there meets any
    *("kv_cache_mb", "states_memory_mb", "states_disk_mb", "answer_timeout_s"),
    *("extract_stall_s", "extract_timeout_s", "extract_memory_mb"),
    *("answer_cache", "answer_cache_mb"),
}
_NOT_OF_THE_KEY = {"collection", "history", "timeout_s", "target", "rewrite", "compose"}  # or is in it otherwise


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """A question and all that its answer depends on.

    Attributes:
        stamp: of the index, see `Index.stamp`.
        scope: digest of all but the question: collection, stamp, model, settings, and what was said before.
        question: with its spaces as one writes them.
    """

    collection: str
    stamp: str
    scope: str
    question: str

    @property
    def digest(self) -> str:
        """Digest of everything."""
        return _digest([self.scope, self.question])


def answer_key(question: str, asked: AskSettings, settings: Settings, *, stamp: str, model: str) -> AnswerKey | None:
    """The key of a question's answer; None where chance has a part in the answer.

    Args:
        asked: with no more of the history than the question leans on.
        stamp: of the index; `model` is the fingerprint of the LLM's files, with what decides when it declines.
    """
    if asked.sampling.temperature > 0:
        return None
    chosen = settings.model_dump(mode="json", exclude=_INDIFFERENT)
    of_this = {
        field.name: repr(value)
        for field in fields(asked)
        if field.name not in _NOT_OF_THE_KEY and not callable(value := getattr(asked, field.name))
    }
    said = [(turn.question, turn.answer) for turn in asked.history]
    told = instructions(numbers_first=asked.numbers_first)
    judges = (settings.head_file, Path(settings.reranker_model or settings.head_file), settings.nli_model)
    judged_by = _files(*(path for path in judges if path))
    scope = _digest([_version(), stamp, asked.collection, model, judged_by, told, chosen, of_this, said])
    return AnswerKey(asked.collection, stamp, scope, " ".join(unicodedata.normalize("NFC", question).split()))


def _files(*paths: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of files, and of those in folders: a reranker may be tuned anew in its place."""
    files = [file for path in paths for file in (path.iterdir() if path.is_dir() else (path,)) if file.is_file()]
    return sorted((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()


@cache
def _version() -> str:
    """This program's: another may search and prompt in other ways."""
    from importlib.metadata import version

    return version("readonce")
