"""What files are called, and what stands above their passages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag.tune.source import Source

if TYPE_CHECKING:
    import random

_PLAIN = 0.4  # the share of documents that go by their title
_ENDINGS = (".md", ".md", ".pdf", ".pdf", ".txt", ".docx", ".html", ".odt", ".pptx", ".eml")
_NO_LETTER = re.compile(r"[^\w]+")
_HEADINGS = (
    "Overview",
    "Background",
    "History",
    "Introduction",
    "Details",
    "Summary",
    "Description",
    "Origins",
    "Development",
    "General",
    "Main points",
    "Notes",
    "Context",
    "1 Introduction",
    "2 Background",
    "3 Discussion",
    "4.2 Further details",
    "Part II",
    "Early period",
    "Later developments",
    "Characteristics",
    "Influence",
)
_SECTIONS = 0.3  # the share of passages with headings
_OPENS = 0.6  # of those: the passage opens its section, and so begins with the heading


def file_name(title: str, drawn: random.Random) -> str:
    """A title as a file might be called: `Normans`, `Normans.md`, `the-normans.pdf`, `NORMANS_2021.docx`."""
    if drawn.random() < _PLAIN:
        return title
    joint = drawn.choice("_-- ")
    name = _NO_LETTER.sub(joint, title).strip(joint)
    name = drawn.choice((str, str.lower, str.lower, str.title))(name)
    if drawn.random() < 0.15:  # noqa: PLR2004 - some carry a year
        name += f"{joint}{drawn.randrange(1998, 2027)}"
    return name + drawn.choice(_ENDINGS)


def under_headings(name: str, title: str, text: str, drawn: random.Random) -> Source:
    """A passage of a document, with headings as often as not."""
    if drawn.random() >= _SECTIONS:
        return Source(name, text)
    heading = drawn.choice(_HEADINGS)
    section = (title, heading) if drawn.random() < 1 / 2 else (heading,)
    return Source(name, f"{heading}\n\n{text}" if drawn.random() < _OPENS else text, section)
