"""`config.toml` in the home folder: read, and written whole or not at all."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from rag.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG_FILE = "config.toml"


def read_config_file(home: Path) -> dict[str, Any]:
    """What `config.toml` sets; nothing when there is none.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    file = home / CONFIG_FILE
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: not readable as TOML ({error})") from error


def write_config_file(home: Path, content: Mapping[str, Any]) -> None:
    """Puts `config.toml` in the place of the one before, names in order, tables last.

    Raises:
        ConfigError: the folder cannot be written.
    """
    import tomli_w

    file = home / CONFIG_FILE
    partial = file.with_suffix(".toml.partial")
    try:
        home.mkdir(parents=True, exist_ok=True)
        partial.write_text(tomli_w.dumps(dict(sorted(content.items()))), encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror})") from error
