"""The card of a file of lists: its checksums, and how hard the lists are to be searched."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from indexes.dense import stamp
from indexes.dense.effort import Effort
from indexes.dense.stamp import DamagedFileError, State
from indexes.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from indexes.dense.stamp import Origin


SUFFIX = ".card"


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a file of lists.

    Attributes:
        num_bytes: its size.
        head: checksum of what stands before the lists.
        digests: of the lists, 16 hex digits each, with everything removed from them taken as overwritten.
        removed: ids that may still stand in it: they are overwritten after the card was written.
        trained_on: how many vectors there were when their centres were chosen.
        imbalance: how unequal the lists were then; 1 when all are as long.
        recall: what is wanted.
        measured: what was found with more and more effort.
    """

    num_bytes: int
    head: str
    digests: str
    removed: tuple[int, ...]
    trained_on: int
    imbalance: float
    recall: float
    measured: tuple[Effort, ...]

    def save(self, path: Path, origin: Origin, generation: int) -> None:
        """Put it beside the lists at `path`.

        Raises:
            OSError: the folder cannot be written.
        """
        stamp.write(card_path(path), origin, State(generation, 0), asdict(self))


def load(path: Path, origin: Origin, generation: int) -> Card:
    """The card of the lists at `path`, when they were derived from `origin` and are no newer than `generation`.

    Raises:
        DamagedFileError: it cannot be used.
        FileNotFoundError: there is none.
    """
    content, _ = stamp.read(card_path(path), origin, generation)
    try:
        return _to_card(content)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError("the card of its lists cannot be read") from error


def card_path(path: Path) -> Path:
    """Where the card of lists is."""
    return path.with_suffix(SUFFIX)


def remove_lists(path: Path) -> None:
    """Remove lists and their card, as far as they are there.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        for each in (card_path(path), path):
            each.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"the vectors at {path} cannot be removed: {error.strerror}") from error


def _to_card(content: dict[str, Any]) -> Card:
    known = {name: content[name] for name in Card.__dataclass_fields__}
    measured = tuple(Effort(**effort) for effort in content["measured"])
    if not measured:
        raise ValueError("nothing was measured")
    return Card(**known | {"removed": tuple(content["removed"]), "measured": measured})
