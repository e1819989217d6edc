"""What the pages with charts have in common: each is one HTML file that needs nothing else."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from rag.errors import RagError

if TYPE_CHECKING:
    from pathlib import Path

_TEMPLATE, _BASE = "page.html", "base.html"


def rendered(package: str, **values: Any) -> str:
    """The template `page.html` of a package, filled in; it extends `base.html`."""
    texts = {
        _BASE: files("rag.eval").joinpath(_BASE).read_text(encoding="utf-8"),
        _TEMPLATE: files(package).joinpath(_TEMPLATE).read_text(encoding="utf-8"),
    }
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(texts.get),
    )
    return environment.get_template(_TEMPLATE).render(**values)


def write(page: str, path: Path) -> None:
    """Writes a page.

    Raises:
        RagError: it cannot be written there.
    """
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RagError(f"{path}: the page cannot be written ({error.strerror})") from error
