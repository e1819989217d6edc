"""The ways of answering that are compared in one run, each a few settings set otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.config import load_settings
from rag.errors import RagError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.config import Settings

AS_SET = "as set"
_WHOLE = {"full": {"states": "off"}, "quote": {"quote": "true"}, AS_SET: {}}
_SHORT = {"repair": "repair_tokens", "format": "weight_format"}
_OF_ONE_ANSWER = frozenset(
    "repair_tokens repair_share states compress numbers_first min_relevance max_new_tokens temperature "
    "repetition_penalty top_k context_tokens split_questions quote".split()
)  # with the same model loaded


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of answering.

    Attributes:
        name: as it was written.
        settings: in force.
        loads: what of it needs a model or an index of its own; variants with the same share one.
    """

    name: str
    settings: Settings
    loads: tuple[tuple[str, str], ...] = ()


def parse_variants(text: str, settings: Settings) -> list[Variant]:
    """The variants that a person names; what is set, where none is named.

    Each is `full` (every passage is read anew), `quote`, or a setting with its value (`repair 16`, `compress 0.5`,
    `adapter none`, `format bf16`, `top_k=5`); several of these with + between, several variants with commas.

    Raises:
        RagError: two have the same name, or one says nothing.
        ConfigError: a setting does not exist, or a value does not fit it.
    """
    names = [" ".join(part.split()) for part in text.split(",")] if text.strip() else [AS_SET]
    if "" in names:
        raise RagError(f"--variants {text!r}: there is nothing between two commas")
    if len(set(names)) < len(names):
        raise RagError(f"--variants {text!r}: {next(one for one in names if names.count(one) > 1)!r} is there twice")
    return [_variant(name, settings) for name in names]


def sharing(variants: Sequence[Variant]) -> list[list[Variant]]:
    """The variants, those together that one loaded model serves."""
    groups: dict[tuple[tuple[str, str], ...], list[Variant]] = {}
    for variant in variants:
        groups.setdefault(variant.loads, []).append(variant)
    return list(groups.values())


def _variant(name: str, settings: Settings) -> Variant:
    changes: dict[str, str] = {}
    for part in name.split("+"):
        changes |= _change(part.strip())
    given = {field: getattr(settings, field) for field in settings.model_fields_set - {"home"}}
    loads = tuple(sorted((field, value) for field, value in changes.items() if field not in _OF_ONE_ANSWER))
    return Variant(name, load_settings(settings.home, **{**given, **changes}), loads)


def _change(part: str) -> dict[str, str]:
    if part in _WHOLE:
        return _WHOLE[part]
    setting, _, value = part.replace("=", " ", 1).partition(" ")
    if not value.strip():
        raise RagError(f"the variant {part!r} says no value; write it like `repair 16`, or {', '.join(_WHOLE)}")
    return {_SHORT.get(setting, setting): value.strip()}
