"""Passages that state several things of several kinds of things, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.tune.made import words
from rag.tune.made.reasons import aside
from rag.tune.made.scene import Paper, Scene, sentence, upper

if TYPE_CHECKING:
    from rag.tune.made.draw import Draw, Value
    from rag.tune.made.frames import Domain, Frame

    Facts = dict[str, dict[Frame, Value]]

_ASIDE = 0.35  # passages of facts that give a reason as well
_TOGETHER = 0.4  # things that are asked for two values at once
_TRUE = ("Is it true that {}?", "Is it right that {}?", "Am I right that {}?", "Can you confirm that {}?")


def facts_about(things: list[str], frames: list[Frame], draw: Draw) -> Facts:
    """A value of every frame for every thing, no two of a frame alike."""
    made: Facts = {thing: {} for thing in things}
    for frame in frames:
        used: set[str] = set()
        for thing in things:
            value = draw.value(frame.kind)
            for _ in range(20):
                if value.text not in used:
                    break
                value = draw.value(frame.kind)
            used.add(value.text)
            made[thing][frame] = value
    return made


def told(domain: Domain, draw: Draw) -> Scene:
    """Each of two to four things of a kind in a passage of its own; some leave out what the others say."""
    things = domain.things(draw, draw.between(2, 4))
    frames = draw.random.sample(domain.frames, min(draw.between(6, 11), len(domain.frames)))
    facts = facts_about(things, frames, draw)
    scene, paper = Scene(), Paper.drawn(domain, draw)
    per_thing = draw.between(3, 8)
    for thing in things:
        stated = draw.random.sample(frames, min(per_thing, len(frames)))
        text = _prose(thing, stated, facts[thing], draw)
        place = len(scene.sources)
        if domain.name not in ("rule", "person") and draw.chance(_ASIDE):
            said, question, answer, absent = aside(domain, thing, draw)
            text = draw.pick((f"{text} {said}", f"{said} {text}"))
            scene.ask(question, answer, place)
            scene.absent.append(absent)
        scene.sources.append(paper.source(draw.pick(domain.headings), text, draw))
        ask_facts(scene, thing, stated, facts, draw, place)
        scene.absent += [_question(frame, thing, draw) for frame in frames if frame not in stated]
    scene.absent += absent_things(domain, things, frames, draw)
    return scene


def editions(domain: Domain, draw: Draw) -> Scene:
    """Passages that are word for word alike but for what they are about and some values."""
    things = domain.things(draw, 2)
    frames = draw.random.sample(domain.frames, min(draw.between(4, 6), len(domain.frames)))
    facts = facts_about(things, frames, draw)
    same = frames[: draw.between(0, 2)]
    templates = {frame: draw.pick(frame.says) for frame in frames}
    fillers = {frame: _filler(draw) for frame in frames}
    scene, paper = Scene(), Paper.drawn(domain, draw)
    for thing in things:
        facts[thing].update({frame: facts[things[0]][frame] for frame in same})
        said = [sentence(templates[frame], thing, facts[thing][frame].text) + fillers[frame] for frame in frames]
        scene.sources.append(paper.source(upper(thing), " ".join(said), draw))
        ask_facts(scene, thing, frames, facts, draw, len(scene.sources) - 1)
    unsaid = [frame for frame in domain.frames if frame not in frames]
    for frame in draw.random.sample(unsaid, min(2, len(unsaid))):
        scene.absent.append(_question(frame, draw.pick(things), draw))
    scene.absent += absent_things(domain, things, frames, draw)
    return scene


def repeated(domain: Domain, draw: Draw) -> Scene:
    """The same thing in two passages, one value of which stands in both."""
    (thing,) = domain.things(draw, 1)
    frames = draw.random.sample(domain.frames, min(6, len(domain.frames)))
    facts = facts_about([thing], frames, draw)
    scene, shared = Scene(), frames[0]
    for own in (frames[1:3], frames[3:]):
        stated = [shared, *own]
        draw.random.shuffle(stated)
        text = _prose(thing, stated, facts[thing], draw)
        scene.sources.append(Paper.drawn(domain, draw).source(draw.pick(domain.headings), text, draw))
        ask_facts(scene, thing, own, facts, draw, len(scene.sources) - 1)
    scene.ask(_question(shared, thing, draw), facts[thing][shared].text, 0, 1)
    scene.absent += absent_things(domain, [thing], frames, draw)
    return scene


def ask_facts(scene: Scene, thing: str, stated: list[Frame], facts: Facts, draw: Draw, place: int) -> None:
    """Asks for what is stated, now and then whether it is so."""
    if len(stated) > 1 and draw.chance(_TOGETHER):
        one, two = draw.random.sample(stated, 2)
        second = draw.pick(two.asks).format(e="it" if thing.startswith("the ") else thing)
        question = f"{_question(one, thing, draw).rstrip('?')}, and {second[0].lower()}{second[1:]}"
        scene.ask(question, f"{facts[thing][one].text} and {facts[thing][two].text}", place)
    for frame in stated:
        value = facts[thing][frame]
        if not draw.chance(0.07):
            scene.ask(_question(frame, thing, draw), value.text, place)
            continue
        template = next((says for says in frame.says if says.startswith("{e}")), "")
        if not template:
            continue
        right = draw.chance(0.5)
        claimed = value.text if right else draw.value(frame.kind).text
        if claimed != value.text or right:
            claim = template.format(e=thing, v=claimed).rstrip(".")
            word = "Yes" if right else "No"
            scene.ask(draw.pick(_TRUE).format(claim), f"{word}, {template.format(e=thing, v=value.text)}", place)


def absent_things(domain: Domain, things: list[str], frames: list[Frame], draw: Draw) -> list[str]:
    """Questions about things of the kind that no passage mentions."""
    others = [thing for thing in domain.things(draw, 2) if thing not in things]
    return [_question(draw.pick(frames), thing, draw) for thing in others]


def _question(frame: Frame, thing: str, draw: Draw) -> str:
    return sentence(draw.pick(frame.asks), thing)


def _prose(thing: str, frames: list[Frame], values: dict[Frame, Value], draw: Draw) -> str:
    said = []
    for number, frame in enumerate(frames):
        template = draw.pick(frame.says)
        named = number == 0 or not template.startswith("{e} ") or draw.chance(0.5)
        if named or not thing.startswith("the ") or " on " in thing or " for " in thing:
            said.append(sentence(template, thing, values[frame].text))
        else:
            said.append(sentence(template, "it", values[frame].text))
        said[-1] += _filler(draw)
    return " ".join(said)


def _filler(draw: Draw) -> str:
    return f" {draw.pick(words.FILLERS)}" if draw.chance(0.2) else ""
