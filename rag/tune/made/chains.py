"""Answers that need two passages: one names a thing, the other says something of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.tune.made import words
from rag.tune.made.facts import absent_things, facts_about
from rag.tune.made.frames import DOMAINS
from rag.tune.made.scene import Paper, Scene, sentence, upper
from rag.tune.source import Asked, Said

if TYPE_CHECKING:
    from rag.tune.made.draw import Draw, Value
    from rag.tune.made.frames import Domain, Frame

_USED = (
    ("{s} uses {p}.", "{noun} used by {s}"),
    ("For {s}, {p} was chosen.", "{noun} that was chosen for {s}"),
    ("At {s} we found {p} in place.", "{noun} that was found at {s}"),
    ("I recommend {p} for {s}.", "{noun} that was recommended for {s}"),
    ("{s} has asked for {p}.", "{noun} that {s} asked for"),
)
_SIGNS = ("Who approves requests under {r}?", "What is the name of the person who approves requests under {r}?")


def chained(_domain: Domain, draw: Draw) -> Scene:
    """A report names a product, a list gives its data; a rule names a post, a list the person who holds it."""
    return draw.pick((_product_at_site, _product_at_site, _person_in_post, _both))(draw)


def compared(domain: Domain, draw: Draw) -> Scene:
    """Two things with the same property: which has more of it?"""
    frames = [frame for frame in domain.frames if frame.kind.split()[0] in _ORDERED]
    if not frames:
        return chained(domain, draw)
    frame = draw.pick(frames)
    things = domain.things(draw, 2)
    facts = facts_about(things, [frame], draw)
    scene, paper = Scene(), Paper.drawn(domain, draw)
    numbers = []
    for place, thing in enumerate(things):
        value = facts[thing][frame]
        scene.sources.append(
            paper.source(draw.pick(domain.headings), sentence(draw.pick(frame.says), thing, value.text), draw)
        )
        scene.ask(sentence(draw.pick(frame.asks), thing), value.text, place)
        numbers.append(float(value.cell))
    if numbers[0] != numbers[1]:
        more = draw.chance(0.5)
        best = int(numbers[1] > numbers[0]) if more else int(numbers[1] < numbers[0])
        word = "higher" if more else "lower"
        question = f"Which has the {word} {frame.label}, {things[0]} or {things[1]}?"
        scene.ask(question, things[best], 0, 1)
    scene.absent += absent_things(domain, things, [frame], draw)
    return scene


_ORDERED = frozenset("kg m mm cm w v db bar l ml c gb mb g km".split())


def _product_at_site(draw: Draw) -> Scene:
    product, site = DOMAINS[0], DOMAINS[1]
    noun = draw.name(words.PRODUCTS)
    things = [f"the {draw.product()} {noun}" for _ in range(2)]
    if things[0] == things[1]:
        return _person_in_post(draw)
    frames = draw.random.sample(product.frames, 4)
    facts = facts_about(things, frames, draw)
    place, other = site.things(draw, 2)
    statement, asked = draw.pick(_USED)
    scene = Scene()
    named = sentence(statement.replace("{s}", "{e}").replace("{p}", "{v}"), place, things[0])
    report = f"{named} {draw.pick(words.FILLERS)}"
    date = f" This was settled on {draw.date()} with {draw.person()}."
    scene.sources.append(Paper.drawn(site, draw).source(draw.pick(site.headings), report + date, draw))
    paper = Paper.drawn(product, draw)
    for thing in things:
        said = " ".join(sentence(draw.pick(frame.says), thing, facts[thing][frame].text) for frame in frames)
        scene.sources.append(paper.source(draw.pick(product.headings), said, draw))
    meant = asked.format(s=place, noun=f"the {noun}")
    unknown = asked.format(s=other, noun=f"the {noun}")
    for frame in frames:
        scene.ask(sentence(draw.pick(frame.asks), meant), facts[things[0]][frame].text, 1, 0)
        scene.ask(sentence(draw.pick(frame.asks), things[1]), facts[things[1]][frame].text, 2)
    scene.ask(f"Which {noun} is named for {place}?", things[0], 0)
    scene.absent += [sentence(draw.pick(frame.asks), unknown) for frame in frames[:2]]
    scene.absent += absent_things(product, things, frames, draw)
    return scene


def _person_in_post(draw: Draw) -> Scene:
    rule = DOMAINS[2]
    things = rule.things(draw, 2)
    roles = draw.random.sample(words.ROLES, 4)
    people = [draw.person() for _ in roles]
    days = draw.value("workdays").text
    scene, paper = Scene(), Paper.drawn(rule, draw)
    for thing, role in zip(things, roles[:2], strict=True):
        text = f"Under {thing}, a written request is signed by the {role}. It is answered within {days}."
        scene.sources.append(paper.source(draw.pick(rule.headings), text, draw))
    joint = draw.pick((": ", " is "))
    lines = [f"- {upper(role)}{joint}{person}" for role, person in zip(roles, people, strict=True)]
    scene.sources.append(Paper.drawn(DOMAINS[7], draw).source("Contacts", "\n\n".join(lines), draw))
    for place, thing in enumerate(things):
        scene.ask(draw.pick(_SIGNS).format(r=thing), f"{people[place]}, the {roles[place]}", 2, place)
        scene.ask(f"Which post signs requests under {thing}?", f"the {roles[place]}", place)
    for role, person in zip(roles[2:], people[2:], strict=True):
        scene.ask(f"Who is the {role}?", person, 2)
    scene.absent += [draw.pick(_SIGNS).format(r=other) for other in rule.things(draw, 2) if other not in things]
    scene.absent.append(f"On what number can I reach {people[0]}?")
    return scene


def _both(draw: Draw) -> Scene:
    """A question that asks for two things, each in a passage of its own."""
    domain = draw.pick(DOMAINS)
    (thing,) = domain.things(draw, 1)
    frames = draw.random.sample(domain.frames, 4)
    facts = facts_about([thing], frames, draw)[thing]
    scene = Scene()
    for pair in (frames[:2], frames[2:]):
        said = " ".join(sentence(draw.pick(frame.says), thing, facts[frame].text) for frame in pair)
        scene.sources.append(Paper.drawn(domain, draw).source(draw.pick(domain.headings), said, draw))
    _ask_both(scene, thing, [(frames[0], 0), (frames[2], 1)], facts, draw)
    _ask_both(scene, thing, [(frames[3], 1), (frames[1], 0)], facts, draw)
    for place, pair in enumerate((frames[:2], frames[2:])):
        for frame in pair:
            scene.ask(sentence(draw.pick(frame.asks), thing), facts[frame].text, place)
    scene.absent += absent_things(domain, [thing], frames, draw)
    return scene


def _ask_both(scene: Scene, thing: str, wanted: list[tuple[Frame, int]], facts: dict[Frame, Value], draw: Draw) -> None:
    first, second = (sentence(draw.pick(frame.asks), thing) for frame, _ in wanted)
    question = f"{first.rstrip('?')}, and {second[0].lower()}{second[1:]}"
    scene.asked.append(Asked(question, tuple(Said(facts[frame].text, (place,)) for frame, place in wanted)))
