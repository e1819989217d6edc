"""Questions about all rows of a table at once: which has most of something, and which have a certain value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.tune.made import words
from rag.tune.made.facts import facts_about
from rag.tune.made.frames import DOMAINS, distinct
from rag.tune.made.scene import Paper, Scene, sentence
from rag.tune.made.tables import TABLES, bare, same_units

if TYPE_CHECKING:
    from rag.tune.made.draw import Draw
    from rag.tune.made.facts import Facts
    from rag.tune.made.frames import Domain, Frame

_ORDERED = frozenset(
    "money kg g m mm cm km w v a nm c db bar l ml gb mb minutes hours days workdays weeks months years count".split()
)
_SHARED = frozenset("town person company colour material weekday language role".split())
_TIMES = frozenset("minutes hours days workdays weeks months years".split())
_EXTREMES = {"money": ("most expensive", "cheapest"), "kg": ("heaviest", "lightest")}


def ranked(domain: Domain, draw: Draw) -> Scene:
    """A table of which somebody wants the first or the last row by some column, or all rows with some value."""
    ordered = [frame for frame in domain.frames if frame.kind.split()[0] in _ORDERED]
    shared = [frame for frame in domain.frames if frame.kind.split()[0] in _SHARED]
    columns = draw.random.sample(ordered, min(2, len(ordered))) + draw.random.sample(shared, min(1, len(shared)))
    things = domain.things(draw, draw.between(3, 6))
    facts = same_units(facts_about(things, columns, draw), columns)
    _share_values(things, columns, facts, draw)
    scene, heading = Scene(), draw.pick(domain.headings)
    text = draw.pick(TABLES)(domain, things, columns, facts)
    scene.sources.append(Paper.drawn(domain, draw).source(heading, text, draw))
    for frame in columns:
        if frame.kind.split()[0] in _ORDERED:
            _ask_extremes(scene, domain, things, frame, facts)
        else:
            _ask_rows(scene, domain, things, frame, facts, draw)
        thing = draw.pick(things)
        scene.ask(sentence(draw.pick(frame.asks), thing), facts[thing][frame].text, 0)
    return scene


def coded(_domain: Domain, draw: Draw) -> Scene:
    """A code calls for a part, and a list gives its data."""
    product = DOMAINS[0]
    parts = distinct(lambda: draw.name(words.PARTS), 4)
    columns = [frame for frame in product.frames if frame.key in ("price", "weight", "delivery", "part", "stock")]
    facts = same_units(facts_about(parts, columns, draw), columns)
    letter, numbers = draw.pick("ABDGJLMQ"), draw.random.sample(range(10, 99), len(parts))
    codes = [f"{letter}{number}" for number in numbers]
    told = draw.pick(("calls for a new {}", "needs another {}", "is cured by a new {}", "means that the {} is broken"))
    lines = "\n\n".join(f"- {code} {told.format(part)}." for code, part in zip(codes[:3], parts[:3], strict=True))
    scene = Scene()
    scene.sources.append(Paper.drawn(product, draw).source("Messages", lines, draw))
    text = draw.pick(TABLES)(product, parts, columns, facts)
    scene.sources.append(Paper.drawn(product, draw).source("Spare parts", text, draw))
    for code, part in zip(codes, parts, strict=True):
        frame = draw.pick(columns)
        shown = draw.pick(("Message {} appears. ", "It says {}. ", "I see {} on the screen. ")).format(code)
        question = shown + sentence(draw.pick(frame.asks), "the part that is needed then")
        if code in codes[:3]:
            scene.ask(question, facts[part][frame].text, 1, 0)
        else:
            scene.absent.append(question)
        scene.ask(sentence(draw.pick(frame.asks), f"the {part}"), facts[part][frame].text, 1)
    return scene


def _share_values(things: list[str], columns: list[Frame], facts: Facts, draw: Draw) -> None:
    """Gives some rows the value of another one, where a column holds names."""
    for frame in columns:
        if frame.kind.split()[0] in _SHARED:
            one, two, *_ = draw.random.sample(things, 3)
            facts[one][frame] = facts[two][frame]


def _ask_extremes(scene: Scene, domain: Domain, things: list[str], frame: Frame, facts: Facts) -> None:
    amounts = {thing: float(facts[thing][frame].cell) for thing in things}
    kind = frame.kind.split()[0]
    times = (f"longest {frame.label}", f"shortest {frame.label}")
    most, least = times if kind in _TIMES else (f"highest {frame.label}", f"lowest {frame.label}")
    verb = "have the" if domain.name == "rule" else "has the"
    if frame.label in ("unit price", "weight") and kind in _EXTREMES:
        (most, least), verb = _EXTREMES[kind], "is the"
    for word, amount in ((most, max(amounts.values())), (least, min(amounts.values()))):
        found = [thing for thing in things if amounts[thing] == amount]
        if len(found) == 1:
            scene.ask(f"Which {domain.columns} {verb} {word}?", bare(found[0]), 0)


def _ask_rows(scene: Scene, domain: Domain, things: list[str], frame: Frame, facts: Facts, draw: Draw) -> None:
    asks = ("Which {c} have {v} under {l}?", "For which {c} is {v} given as {l}?", "Which {c} are listed with {v}?")
    plural = {"rules": "rules", "person": "people"}.get(domain.columns, f"{domain.columns}s")
    for value in dict.fromkeys(facts[thing][frame].text for thing in things):
        found = [bare(thing) for thing in things if facts[thing][frame].text == value]
        joined = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
        scene.ask(draw.pick(asks).format(c=plural, v=value, l=frame.label), joined, 0)
