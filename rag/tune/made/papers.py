"""Memos, reports and minutes: a head that says who, to whom, when and about what, and a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.tune.made import words
from rag.tune.made.clauses import SUBJECTS, stated
from rag.tune.made.scene import Paper, Scene
from rag.tune.source import Source

if TYPE_CHECKING:
    from rag.tune.made.draw import Draw
    from rag.tune.made.frames import Domain

_KINDS = ("trip", "memo", "minutes")


def headed(domain: Domain, draw: Draw) -> Scene:
    """One such paper, its head in the first passage; what another one would say is absent."""
    kind = draw.pick(_KINDS)
    writer, first, second = (draw.person() for _ in range(3))
    place, date, other = draw.place(), draw.date(), draw.place()
    work = draw.name(words.WORKS)
    scene, paper = Scene(), Paper.drawn(domain, draw)
    if kind == "trip":
        company = draw.company()
        head = f"Report on the {work} in {place}\n\nWritten by: {writer}\nWith: {first} and {second}"
        head += f"\nFor: {company}\nDate: {date}"
        scene.ask(f"Who went along to {place}?", f"{writer}, {first} and {second}", 0)
        scene.ask(f"For whom was the {work} done?", company, 0)
        scene.ask(f"Who wrote the report on the {work}?", writer, 0)
        scene.absent.append(f"Who went along to {other}?")
    elif kind == "memo":
        head = f"From: {writer}\nTo: {first}; {second}\nDate: {date}\nSubject: {work} in {place}"
        scene.ask("Who sent the memo?", writer, 0)
        scene.ask(f"To whom was the message about the {work} sent?", f"{first} and {second}", 0)
        scene.ask("What is the memo about?", f"{work} in {place}", 0)
        scene.absent.append(f"Who wrote to {writer}?")
    else:
        head = f"Minutes: {work}\n\nPlace: {place}\nDate: {date}\nPresent: {writer} (chair), {first}, {second}"
        scene.ask("Who was in the chair?", writer, 0)
        scene.ask(f"Who attended the meeting about the {work}?", f"{writer}, {first} and {second}", 0)
        scene.ask(f"Where did they meet about the {work}?", place, 0)
        scene.absent.append("Who sent apologies?")
    scene.ask(f"What is the date of the {'report' if kind == 'trip' else kind}?", date, 0)
    subject = draw.pick(list(SUBJECTS))
    body = Scene()
    text = stated(subject, body, draw)
    scene.sources.append(Source(paper.name, f"{head}\n\n{text}"))
    scene.absent += body.absent
    for asked in body.asked:
        scene.asked.append(asked)
    return scene
