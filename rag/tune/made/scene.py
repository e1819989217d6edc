"""A part of a lesson: passages of one document, what they answer, and what they seem to answer and do not."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag.cite import sentence_spans
from rag.tune.names import file_name
from rag.tune.source import Asked, Said, Source, is_sentence

if TYPE_CHECKING:
    from rag.tune.made.draw import Draw
    from rag.tune.made.frames import Domain


@dataclass(slots=True)
class Scene:
    """Sources, questions that they answer, and questions that they do not."""

    sources: list[Source] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def ask(self, question: str, answer: str, *sources: int) -> None:
        """Adds a question that some of the sources answer; each sentence of the answer cites them."""
        said = tuple(Said(answer[start:end], sources) for start, end in sentence_spans(answer))
        self.asked.append(Asked(question, said if is_sentence(answer) else (Said(answer, sources),)))

    def add(self, other: Scene) -> None:
        """Takes in another scene."""
        start = len(self.sources)
        self.sources += other.sources
        for one in other.asked:
            said = tuple(Said(part.text, tuple(start + place for place in part.sources)) for part in one.said)
            self.asked.append(Asked(one.question, said))
        self.absent += other.absent


@dataclass(frozen=True, slots=True)
class Paper:
    """A document that passages are taken from."""

    name: str
    title: str

    @classmethod
    def drawn(cls, domain: Domain, draw: Draw) -> Paper:
        """An invented one about a kind of thing."""
        title = domain.title(draw)
        return cls(file_name(title, draw.random), title)

    def source(self, heading: str, text: str, draw: Draw) -> Source:
        """A passage of it, below its headings as chunks are."""
        if draw.chance(0.25):
            text = "\n".join(textwrap.fill(line, draw.between(80, 118)) for line in text.split("\n"))
        if draw.chance(0.3):
            return Source(self.name, text)
        section = draw.pick(((heading,), (self.title, heading)))
        return Source(self.name, f"{heading}\n\n{text}" if draw.chance(0.6) else text, section)


def sentence(template: str, thing: str, value: str = "") -> str:
    """A template filled in, with a capital letter in front."""
    return upper(template.format(e=thing, v=value))


def upper(text: str) -> str:
    """A text with a capital letter in front."""
    return text[0].upper() + text[1:]
