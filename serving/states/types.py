"""What is kept of a text that was read: its key/value states, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class StatesFormat(StrEnum):
    """How kept states are held."""

    INT8 = "int8"  # with a float scale per head and token
    BF16 = "bf16"


class Tier(StrEnum):
    """Where states are kept."""

    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Owner:
    """The document that a text belongs to: its states leave with it, and never serve another collection."""

    collection: str
    document_id: str


@dataclass(frozen=True, slots=True)
class StatesKey:
    """What states were made from; they serve only a text of which all of this is the same.

    Attributes:
        model: hex digest of everything but the text: the model's file, formats of weights and states, and the tokens of
            the instructions that were read before the text.
        text: hex digest of the text's token ids.
    """

    model: str
    owner: Owner
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class KeptStates:
    """The states of a text's tokens, in the order that `serving.engine.passages` describes.

    Attributes:
        first_position: of the text's first token when they were computed.
        data: uint8 [bytes], not to be written to.
    """

    num_tokens: int
    first_position: int
    data: np.ndarray
