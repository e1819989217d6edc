"""From the settings to what citations are checked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.cite.support import Checks

if TYPE_CHECKING:
    from pathlib import Path

    from indexes import Index
    from ingest.embed.late import LateEncoder


def load_checks(nli_model: Path | None, late: LateEncoder | None, index: Index | None) -> Checks:
    """What there is; nothing is loaded for it before its first claim.

    Args:
        nli_model: folder of a model of entailment.
        late: what makes token vectors.
        index: where those of passages are kept.
    """
    from rag.cite.closeness import TokenCloseness
    from rag.cite.nli import EntailmentModel

    return Checks(
        closeness=None if late is None else TokenCloseness(late, index),
        entailment=None if nli_model is None else EntailmentModel(nli_model),
    )
