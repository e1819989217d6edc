"""One setting: its value, where that was set, and how another is set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.config import Settings, load_settings
from rag.config_file import CONFIG_FILE, read_config_file, write_config_file
from rag.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_MEASURED = {
    "reuse": "reuse is what `rag eval fidelity` chose; set repair_tokens and repair_share to overrule it",
    "abstain": "abstain is what `rag eval abstain` chose; set min_relevance to overrule it",
    "rewriters": "rewriters is what `rag eval follow-ups` measured; set follow_ups to overrule it",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting in force, and where it was set."""

    name: str
    value: Any
    source: str
    meaning: str

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """For a table."""
        return self.name, str(self.value), self.source, self.meaning


def explain(settings: Settings) -> list[Setting]:
    """Every setting in force, in the order of their definition."""
    from_file = read_config_file(settings.home)
    found = []
    for name, field in Settings.model_fields.items():
        if f"RAG_{name.upper()}" in os.environ:
            source = f"RAG_{name.upper()}"
        else:
            source = CONFIG_FILE if name in from_file else "default"
        value, meaning = getattr(settings, name), field.description or ""
        if name in _MEASURED:
            found += [Setting(f"{name}.{of}", value[of], source, meaning) for of in sorted(value)]
        else:
            found.append(Setting(name, value, source, meaning))
    return found


def write_setting(home: Path, name: str, value: str) -> Any:
    """Sets one value in `config.toml`, after checking it; gives the value as it will be read.

    Raises:
        ConfigError: there is no such setting, or the value does not fit it.
    """
    _require_settable(name)
    content = read_config_file(home)
    parsed = getattr(load_settings(home, **{name: value}), name)
    write_config_file(home, {**content, name: parsed})
    return parsed


def unset_setting(home: Path, name: str) -> None:
    """Takes one value out of `config.toml`, so that the default holds again.

    Raises:
        ConfigError: there is no such setting.
    """
    _require_settable(name)
    content = read_config_file(home)
    if content.pop(name, None) is not None:
        write_config_file(home, content)


def _require_settable(name: str) -> None:
    known = set(Settings.model_fields) - {"home", *_MEASURED}
    if name in _MEASURED:
        raise ConfigError(_MEASURED[name])
    if name not in known:
        raise ConfigError(f"there is no setting {name!r}; there are: {', '.join(sorted(known))}")
