"""Passages of rules and reports: clauses on a subject that name no thing, and questions in other words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.tune.made import words
from rag.tune.made.house_clauses import HOUSE
from rag.tune.made.scene import Paper, Scene, upper
from rag.tune.made.town_clauses import TOWN

if TYPE_CHECKING:
    from rag.tune.made.draw import Draw
    from rag.tune.made.frames import Domain

_SLOT = re.compile(r"\{([a-z]+)\d?\}")
_MAX_DRAWS = 20
_TOGETHER = 0.25  # clauses that are asked for two things at once


@dataclass(frozen=True, slots=True)
class Clause:
    """A sentence with places for values, and questions with answers that use the same values."""

    says: str
    asks: tuple[tuple[str, str], ...]


def _subjects(text: str) -> dict[str, list[Clause]]:
    made: dict[str, list[Clause]] = {}
    for line in text.strip().split("\n"):
        mark, rest = line[:2], line[2:]
        if mark == "# ":
            clauses = made.setdefault(rest, [])
        elif mark == "- ":
            clauses.append(Clause(rest, ()))
        else:
            question, answer = rest.split(" => ")
            clauses[-1] = Clause(clauses[-1].says, (*clauses[-1].asks, (question, answer)))
    return made


SUBJECTS = _subjects(HOUSE) | _subjects(TOWN)


def ruled(domain: Domain, draw: Draw) -> Scene:
    """One or two subjects, each in a passage of several clauses; the clauses that are left out answer nothing."""
    scene, paper = Scene(), Paper.drawn(domain, draw)
    for subject in draw.random.sample(list(SUBJECTS), draw.between(1, 2)):
        text = stated(subject, scene, draw)
        heading = draw.pick((subject, f"{draw.between(1, 12)} {subject}"))
        scene.sources.append(paper.source(heading, text, draw))
    return scene


def stated(subject: str, scene: Scene, draw: Draw) -> str:
    """Several clauses on a subject, for the next passage of a scene, with the questions that they answer."""
    clauses = draw.random.sample(SUBJECTS[subject], len(SUBJECTS[subject]))
    kept = clauses[: draw.between(3, 5)]
    said = []
    for clause in kept:
        filled = _filled(clause, draw)
        said.append(upper(filled.says) + (f" {draw.pick(words.FILLERS)}" if draw.chance(0.15) else ""))
        for question, answer in filled.asks:
            scene.ask(upper(question), answer, len(scene.sources))
        _ask_together(scene, filled, draw)
    scene.absent += [upper(_filled(clause, draw).asks[0][0]) for clause in clauses[len(kept) :]]
    joint = draw.pick((" ", " ", "\n\n", "\n\n- "))
    return ("- " if "-" in joint else "") + joint.join(said)


def _ask_together(scene: Scene, clause: Clause, draw: Draw) -> None:
    """Asks two questions of a clause as one, now and then."""
    if len(clause.asks) > 1 and draw.chance(_TOGETHER):
        (first, one), (second, two) = clause.asks[:2]
        if not (one.endswith(".") or two.endswith(".")):
            question = f"{upper(first).rstrip('?')}, and {second[0].lower()}{second[1:]}"
            scene.ask(question, f"{one} and {two}", len(scene.sources))


def _filled(clause: Clause, draw: Draw) -> Clause:
    """A clause with values, no two of which are the same."""
    values: dict[str, str] = {}
    for slot in _SLOT.finditer(clause.says):
        name = slot[0][1:-1]
        for _ in range(_MAX_DRAWS):
            if name not in values or list(values.values()).count(values[name]) > 1:
                values[name] = draw.value(slot[1]).text
    asks = tuple((question.format(**values), answer.format(**values)) for question, answer in clause.asks)
    return Clause(clause.says.format(**values), asks)
