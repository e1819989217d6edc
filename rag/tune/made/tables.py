"""Passages that hold tables, rows of CSV files and lists, as extraction writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.tune.made import words
from rag.tune.made.facts import absent_things, facts_about
from rag.tune.made.frames import DOMAINS, distinct
from rag.tune.made.scene import Paper, Scene, sentence, upper
from rag.tune.source import Asked, Said

if TYPE_CHECKING:
    from collections.abc import Callable

    from rag.tune.made.draw import Draw, Value
    from rag.tune.made.facts import Facts
    from rag.tune.made.frames import Domain, Frame

_SIGNS = {"gbp": "£{}", "eur": "€{}", "usd": "${}", "chf": "CHF {}", "%": "{}%"}
_MEANINGS = (
    ("No signal from the {part}", "Check the plug of the {part}"),
    ("The {part} is worn", "Replace the {part}"),
    ("Temperature of the {part} too high", "Let the {part} cool for {n} minutes"),
    ("The {part} is blocked", "Clean the {part} and start again"),
    ("Voltage at the {part} below {n} V", "Charge the battery"),
    ("Wrong {part} fitted", "Fit a {part} from the list of parts"),
    ("The {part} is not locked", "Turn the {part} until it clicks"),
    ("More than {n} restarts in an hour", "Call the service desk"),
    ("Level in the {part} too low", "Top up the {part}"),
    ("The {part} was opened", "Close the {part} and press RESET"),
)
_GROUPS: tuple[tuple[str, Callable[[Draw], str]], ...] = (
    ("items are in the box", lambda draw: draw.name(words.PARTS)),
    ("sites take part", lambda draw: f"the {draw.place()} {draw.name(words.SITES)}"),
    ("dishes are on the menu", lambda draw: draw.name(words.DISHES)),
    ("towns are served", lambda draw: draw.place()),
    ("people attended", lambda draw: draw.person()),
    ("topics were discussed", lambda draw: f"the {draw.name(words.WORKS)}"),
    ("colours are available", lambda draw: draw.pick(words.COLOURS)),
)
_MEANS = ("What does {c} mean?", "The display shows {c}. What does that mean?", "What is the meaning of {c}?")
_DO = ("What should I do about {c}?", "{c} is shown. What do I have to do?", "How do I get rid of {c}?")


def table(domain: Domain, draw: Draw) -> Scene:
    """Things of a kind with several properties each, in one or two passages of rows."""
    things = domain.things(draw, draw.between(3, 7))
    frames = draw.random.sample(domain.frames, min(draw.between(2, 5), len(domain.frames)))
    facts = same_units(facts_about(things, frames, draw), frames)
    scene, paper = Scene(), Paper.drawn(domain, draw)
    write = draw.pick(TABLES)
    heading, lead = draw.pick(domain.headings), ""
    if draw.chance(0.5) and write is not _records:
        lead = (
            draw.pick((f"Table {draw.between(1, 9)}. {heading}", "The following values apply.", *words.FILLERS))
            + "\n\n"
        )
    middle = len(things) if len(things) < 4 or draw.chance(0.5) else len(things) // 2  # noqa: PLR2004
    for rows in filter(None, (things[:middle], things[middle:])):
        text = lead + write(domain, rows, frames, facts)
        scene.sources.append(paper.source(heading, text, draw))
        for thing in rows:
            _ask_row(scene, thing, frames, facts, draw)
    missing = [frame for frame in domain.frames if frame not in frames]
    for frame in draw.random.sample(missing, min(3, len(missing))):
        scene.absent.append(sentence(draw.pick(frame.asks), draw.pick(things)))
    scene.absent += absent_things(domain, things, frames, draw)
    return scene


def specification(domain: Domain, draw: Draw) -> Scene:
    """The properties of one thing below each other."""
    (thing,) = domain.things(draw, 1)
    frames = draw.random.sample(domain.frames, min(draw.between(5, 9), len(domain.frames)))
    facts = facts_about([thing], frames, draw)
    write = draw.pick((_property_table, _property_lines))
    title = thing.removeprefix("the ")
    scene, paper = Scene(), Paper.drawn(domain, draw)
    text = write(frames, facts[thing])
    scene.sources.append(paper.source(upper(title), text, draw))
    if thing.removeprefix("the ") not in (" ".join(scene.sources[0].section) + scene.sources[0].text).lower():
        scene.sources[0] = paper.source(title, f"Data of {thing}\n\n{text}", draw)
    for frame in frames:
        scene.ask(sentence(draw.pick(frame.asks), thing), facts[thing][frame].text, 0)
    missing = [frame for frame in domain.frames if frame not in frames]
    for frame in draw.random.sample(missing, min(4, len(missing))):
        scene.absent.append(sentence(draw.pick(frame.asks), thing))
    scene.absent += absent_things(domain, [thing], frames, draw)
    return scene


def codes(_domain: Domain, draw: Draw) -> Scene:
    """Codes of a machine with their meanings and remedies."""
    domain = DOMAINS[0]
    (thing,) = domain.things(draw, 1)
    letter = draw.pick("EFHKPW")
    numbers = draw.random.sample(range(2, 99), draw.between(4, 7))
    scene, rows = Scene(), []
    for number, (meaning, remedy) in zip(numbers, draw.random.sample(_MEANINGS, len(numbers)), strict=True):
        code = f"{letter}{number:02d}"
        part, amount = draw.name(words.PARTS), draw.between(2, 60)
        said = meaning.format(part=part, n=amount)
        done = remedy.format(part=part, n=amount)
        rows.append(f"| {code} | {said} | {done} |")
        scene.ask(draw.pick(_MEANS).format(c=code), said, 0)
        scene.ask(draw.pick(_DO).format(c=code), done, 0)
    head = draw.pick(("| Code | Meaning | What to do |", "| Fault | Cause | Remedy |", "| No. | Message | Action |"))
    text = f"Codes of {thing}\n\n{head}\n| --- | --- | --- |\n" + "\n".join(rows)
    scene.sources.append(Paper.drawn(domain, draw).source("Fault codes", text, draw))
    unknown = [number for number in range(2, 99) if number not in numbers]
    for number in draw.random.sample(unknown, 3):
        scene.absent.append(draw.pick((*_MEANS, *_DO)).format(c=f"{letter}{number:02d}"))
    return scene


def listed(domain: Domain, draw: Draw) -> Scene:
    """Lists of things and of people with their posts."""
    scene, paper = Scene(), Paper.drawn(domain, draw)
    what, make = draw.pick(_GROUPS)
    items = distinct(lambda: make(draw), draw.between(3, 5))
    joined = ", ".join(items[:-1]) + f" and {items[-1]}"
    bullets = "\n\n".join(f"- {item}" for item in items)
    lead = draw.pick((f"These {what}:", f"The following {what}:"))
    text = draw.pick((f"{lead}\n\n{bullets}", f"{lead} {joined}."))
    scene.sources.append(paper.source(draw.pick(domain.headings), text, draw))
    scene.ask(f"Which {what}?", joined, 0)
    scene.ask(f"How many {what}?", "three four five".split()[len(items) - 3], 0)
    roles = draw.random.sample(words.ROLES, draw.between(4, 7))
    people = {role: draw.person() for role in roles}
    posts = "\n\n".join(f"- {upper(role)}: {person}" for role, person in people.items())
    scene.sources.append(paper.source("Contacts", draw.pick(("", "Whom to ask:\n\n")) + posts, draw))
    for role, person in people.items():
        scene.ask(
            draw.pick(("Who is the {}?", "What is the name of the {}?", "Whom do we have as {}?")).format(role),
            person,
            1,
        )
        if draw.chance(0.3):
            scene.ask(draw.pick(("What does {} do?", "What is the post of {}?")).format(person), role, 1)
    for role in draw.random.sample([role for role in words.ROLES if role not in roles], 3):
        scene.absent.append(f"Who is the {role}?")
    return scene


def _ask_row(scene: Scene, thing: str, frames: list[Frame], facts: Facts, draw: Draw) -> None:
    at = len(scene.sources) - 1
    for frame in draw.random.sample(frames, min(3, len(frames))):
        question = sentence(draw.pick(frame.asks), thing)
        scene.asked.append(Asked(question, (Said(facts[thing][frame].text, (at,)),)))


def same_units(facts: Facts, frames: list[Frame]) -> Facts:
    """Gives every value of a column its unit."""
    for frame in frames:
        unit = next(iter(facts.values()))[frame].unit
        for values in facts.values():
            if unit:
                values[frame] = _in_unit(values[frame], unit)
    return facts


def _in_unit(value: Value, unit: str) -> Value:
    text = _SIGNS[unit].format(value.cell) if unit in _SIGNS else f"{value.cell} {unit}"
    return type(value)(text, value.cell, unit)


def _markdown(domain: Domain, things: list[str], frames: list[Frame], facts: Facts) -> str:
    head = " | ".join((domain.columns.capitalize(), *(_column(frame, facts[things[0]][frame]) for frame in frames)))
    rows = [" | ".join((bare(thing), *(facts[thing][frame].cell for frame in frames))) for thing in things]
    line = " | ".join("---" for _ in range(len(frames) + 1))
    return "\n".join(f"| {row} |" for row in (head, line, *rows))


def _records(domain: Domain, things: list[str], frames: list[Frame], facts: Facts) -> str:
    rows = []
    for thing in things:
        cells = [f"{domain.columns}: {bare(thing)}"]
        for frame in frames:
            unit = facts[thing][frame].unit.replace(" ", "_").replace("%", "percent").replace("°", "deg_")
            name = "_".join((*frame.label.split(), *([unit] if unit else [])))
            cells.append(f"{name}: {facts[thing][frame].cell}")
        rows.append("; ".join(cells))
    return "\n".join(rows)


def _lines(_domain: Domain, things: list[str], frames: list[Frame], facts: Facts) -> str:
    rows = []
    for thing in things:
        said = "; ".join(f"{frame.label} {facts[thing][frame].text}" for frame in frames)
        rows.append(f"- {bare(thing)}: {said}.")
    return "\n\n".join(rows)


def _property_table(frames: list[Frame], values: dict[Frame, Value]) -> str:
    rows = [f"| {frame.label.capitalize()} | {values[frame].text} |" for frame in frames]
    return "\n".join(("| Property | Value |", "| --- | --- |", *rows))


def _property_lines(frames: list[Frame], values: dict[Frame, Value]) -> str:
    return "\n".join(f"{frame.label.capitalize()}: {values[frame].text}" for frame in frames)


def _column(frame: Frame, value: Value) -> str:
    label = frame.label.capitalize()
    if not value.unit:
        return label
    unit = {"gbp": "£", "eur": "€", "usd": "$", "chf": "CHF"}.get(value.unit, value.unit)
    return f"{label} ({unit})"


def bare(thing: str) -> str:
    """A thing as a table names it."""
    return upper(thing.removeprefix("the "))


TABLES = (_markdown, _markdown, _records, _records, _lines)
"""Ways of writing a table, as often as they are used."""
