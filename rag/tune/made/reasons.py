"""Passages that explain: why something happened, how it is done, what a word means, what a sign says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.tune.made import words
from rag.tune.made.frames import DOMAINS
from rag.tune.made.scene import Paper, Scene, upper

if TYPE_CHECKING:
    from collections.abc import Callable

    from rag.tune.made.draw import Draw
    from rag.tune.made.frames import Domain

_CAN_BE_DONE = ("product", "site", "work")  # kinds of things that are opened, tested, or have a door
_EVENTS = (
    ("{e} was given up", "Why was {e} given up?"),
    ("{e} was postponed by {n} weeks", "Why was {e} postponed?"),
    ("{e} had to be stopped", "What made it necessary to stop {e}?"),
    ("{e} was praised", "Why was {e} praised?"),
    ("{e} became dearer", "Why did {e} become dearer?"),
    ("{e} was changed in {y}", "What was the reason for changing {e}?"),
    ("{e} was criticised by {p}", "Why did {p} criticise {e}?"),
    ("{e} drew many complaints", "Why were there complaints about {e}?"),
    ("{e} was moved to {t}", "Why was {e} moved to {t}?"),
    ("{e} was withdrawn", "For what reason was {e} withdrawn?"),
    ("{e} was delayed", "Why was {e} late?"),
    ("{e} was chosen over {n} others", "Why was {e} preferred?"),
    ("{e} was closed for {n} days", "Why was {e} closed?"),
    ("{e} failed in {m}", "Why did {e} fail?"),
    ("{e} was checked twice", "Why was {e} checked twice?"),
    ("{e} is not shown to visitors", "Why can visitors not see {e}?"),
)
_CAUSES = (
    "the {a} had rusted through",
    "nobody had ordered a new {a}",
    "the {a} froze in the first night of {m}",
    "{p} had left the firm",
    "the figures for {m} did not add up",
    "mice had gnawed the {a}",
    "the permit had run out",
    "the noise kept the neighbours awake",
    "the {a} could not be kept dry",
    "the price of copper rose by {n} per cent",
    "water had entered through the {a}",
    "two of the {n} bolts were missing",
    "the road to {t} was under water",
    "the {a} was fitted the wrong way round",
    "it saved {n} hours a week",
    "the {a} overheated in the sun",
    "a clock was wrong by {n} minutes",
    "the insurance did not cover it",
    "the supplier in {t} had gone out of business",
    "the batteries lasted only {n} hours",
    "too few people had signed up",
    "the soil under it had given way",
    "the new law asked for a second {a}",
    "the paint contained lead",
    "the light fell from the wrong side",
    "the manual had been translated badly",
    "the wind had torn off the {a}",
    "the test in {t} had shown a crack {n} mm long",
)
_BECAUSE = (
    ("{event} because {cause}.", "Because {cause}."),
    ("{event}, as {cause}.", "Because {cause}."),
    ("{Cause}, and so {event}.", "Because {cause}."),
    ("{Cause}. For this reason {event}.", "{Cause}."),
    ("{Event}. The reason was simple: {cause}.", "{Cause}."),
    ("Since {cause}, {event}.", "Because {cause}."),
)
_TASKS = (
    ("reset {e}", "How do I reset {e}?"),
    ("open {e}", "How is {e} opened?"),
    ("switch off {e}", "How can I switch {e} off?"),
    ("register for {e}", "How does one register for {e}?"),
    ("store {e} over the winter", "How should {e} be stored over the winter?"),
    ("clean {e}", "How do I clean {e}?"),
    ("report a fault of {e}", "How do I report a fault of {e}?"),
    ("borrow {e}", "What do I have to do to borrow {e}?"),
    ("test {e}", "How is {e} tested?"),
    ("pack {e} for transport", "How is {e} packed for transport?"),
)
_STEPS = (
    "Hold the {c} key for {n} seconds and wait until the lamp goes out.",
    "Take off the {a}, wipe it with a dry cloth and put it back.",
    "Send a message to {p} with the number that is printed on the {a}.",
    "Turn the {a} to the left until it clicks.",
    "Fill in the {c} form and leave it with {p} before {d}.",
    "Wrap the {a} in foam and write the number {x} on the box.",
    "Loosen the {n} screws of the {a} and lift it out.",
    "Disconnect the {a}, wait {n} minutes and connect it again.",
    "Ring {x} and give the serial number.",
    "Choose the menu item {x}, type the code and press OK.",
    "Mix {n} drops of soap with warm water and rub gently.",
    "Pull the {c} cord once and let it go slowly.",
)
_TERMS = (
    "{A} {w} is a {c} card that shows who may enter the {s}.",
    "{A} {w} is a meeting of {n} people that is held without an agenda.",
    "{A} {w} is a tool for lifting the {a} out of its frame.",
    "{A} {w} is a reading that differs from its neighbours by more than {n} per cent.",
    "{A} {w} is a loan that is paid back within {n} weeks.",
    "{A} {w} is a room in which the {a} is kept dry.",
    "{A} {w} is a person who looks after new members for {n} months.",
    "{A} {w} is a small boat with {n} oars that is used near {t}.",
    "{A} {w} is a report that is written before the work begins.",
    "{A} {w} is a knot that holds the {a} and can be opened with one hand.",
    "{A} {w} is a fee that is charged when the {s} is booked and not used.",
    "{A} {w} is a day on which the {s} stays shut for repairs.",
)
_SIGN_PLACES = ("door", "gate", "notice board", "lid", "label on the box", "wall", "first page", "counter")
_SIGNS = (
    "Please knock twice",
    "No entry without a {c} badge",
    "Do not touch the {a}",
    "Back at {n} o'clock",
    "Wet paint: mind your sleeves",
    "Danger of falling {a}s",
    "Deliveries to {t} only",
    "Keep the {a} closed in {m}",
    "Ask {p} for the key",
    "This way to the {s}",
    "Maximum {n} people",
    "Switch off the {a} before you leave",
)


def explained(domain: Domain, draw: Draw) -> Scene:
    """One to three passages with reasons, ways of doing things, words and signs in them."""
    scene = Scene()
    if domain.name not in _CAN_BE_DONE:
        domain = draw.pick([other for other in DOMAINS if other.name in _CAN_BE_DONE])
    for _ in range(draw.between(1, 3)):
        kinds = draw.random.sample(_KINDS, draw.between(2, 3))
        paper = Paper.drawn(domain, draw)
        said, place = [], len(scene.sources)
        for kind in kinds:
            text, question, answer, absent = kind(domain, draw)
            said += [text, *([draw.pick(words.FILLERS)] if draw.chance(0.3) else [])]
            scene.ask(question, answer, place)
            if draw.chance(0.6):
                scene.absent.append(absent)
        scene.sources.append(paper.source(draw.pick(domain.headings), " ".join(said), draw))
    return scene


def aside(domain: Domain, thing: str, draw: Draw) -> tuple[str, str, str, str]:
    """A sentence on why something happened to a thing: text, question, answer, and a question about another thing."""
    return _why(domain, draw, thing)


def _why(domain: Domain, draw: Draw, about: str = "") -> tuple[str, str, str, str]:
    thing, other = domain.things(draw, 2)
    thing = about or thing
    event, question = draw.pick(_EVENTS)
    names = _names(draw)
    template, reply = draw.pick(_BECAUSE)
    said, asked = event.format(e=thing, **names), question.format(e=thing, **names)
    cause = draw.pick(_CAUSES).format(**_names(draw))
    fill = {"event": said, "Event": upper(said), "cause": cause, "Cause": upper(cause)}
    text = upper(template.format(**fill))
    return text, asked, reply.format(**fill), question.format(e=other, **names)


def _how(domain: Domain, draw: Draw) -> tuple[str, str, str, str]:
    thing, other = domain.things(draw, 2)
    task, question = draw.pick(_TASKS)
    steps = draw.random.sample(_STEPS, draw.pick((1, 1, 2)))
    done = " ".join(step.format(**_names(draw)) for step in steps)
    joint = draw.pick(("This is how to {}: ", "To {}, do the following. ", "If you want to {}: "))
    text = joint.format(task.format(e=thing)) + done
    _, unasked = draw.pick([pair for pair in _TASKS if pair[0] != task])
    absent = unasked.format(e=thing) if draw.chance(0.5) else question.format(e=other)
    return text, question.format(e=thing), done, absent


def _what(_domain: Domain, draw: Draw) -> tuple[str, str, str, str]:
    word, other = _coined(draw), _coined(draw)
    article = "an" if word[0] in "aeiou" else "a"
    text = draw.pick(_TERMS).format(A=article.capitalize(), w=word, **_names(draw))
    question = draw.pick(("What is {a} {w}?", "What does the word {w} mean?", "What is meant by {a} {w}?"))
    return (
        text,
        question.format(a=article, w=word),
        text,
        question.format(a="an" if other[0] in "aeiou" else "a", w=other),
    )


def _sign(domain: Domain, draw: Draw) -> tuple[str, str, str, str]:
    thing, other = domain.things(draw, 2)
    where = draw.pick(_SIGN_PLACES)
    words_said = draw.pick(_SIGNS).format(**_names(draw))
    opened, closed = draw.pick((("“", "”"), ('"', '"'), ("«", "»")))
    text = draw.pick(("The {} of {} says {}.", "On the {} of {} one reads {}.", "The {} of {} bears the words {}."))
    question = draw.pick(("What does the {} of {} say?", "What is written on the {} of {}?"))
    quoted = f"{opened}{words_said}{closed}"
    return text.format(where, thing, quoted), question.format(where, thing), words_said, question.format(where, other)


_KINDS: tuple[Callable[[Domain, Draw], tuple[str, str, str, str]], ...] = (_why, _why, _how, _what, _sign)


def _names(draw: Draw) -> dict[str, str]:
    return {
        "a": draw.name(words.PARTS),
        "c": draw.pick(words.COLOURS),
        "d": draw.date(),
        "m": draw.pick(words.MONTHS),
        "n": str(draw.between(3, 60)),
        "p": draw.person(),
        "s": draw.name(words.SITES),
        "t": draw.place(),
        "x": draw.code(),
        "y": str(draw.between(1990, 2026)),
    }


def _coined(draw: Draw) -> str:
    return draw.place().lower().removesuffix("s") + draw.pick(("", "er", "ing", "el", "ette"))
