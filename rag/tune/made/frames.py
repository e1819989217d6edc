"""Kinds of things that documents are about, and what can be stated and asked of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.tune.made import contract_frames, product_frames, rule_frames, site_frames, words, work_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from rag.tune.made.draw import Draw

_MAX_DRAWS = 200


@dataclass(frozen=True, slots=True)
class Frame:
    """One property: what it is called, what kind of value it has, how it is stated and asked.

    Attributes:
        says: statements with places for the thing, `{e}`, and the value, `{v}`; likewise `asks`, without the value.
    """

    key: str
    kind: str
    label: str
    says: tuple[str, ...]
    asks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Domain:
    """One kind of thing.

    Attributes:
        things: makes so many of a kind that are easily taken for each other.
        title: of a document about such things.
        headings: over passages about them.
    """

    name: str
    frames: tuple[Frame, ...]
    things: Callable[[Draw, int], list[str]]
    title: Callable[[Draw], str]
    headings: tuple[str, ...]
    columns: str  # what a table calls the things


def _frames(text: str) -> tuple[Frame, ...]:
    made: list[Frame] = []
    for block in text.strip().split("\n"):
        mark, rest = block[:2], block[2:]
        if mark == "- ":
            made[-1] = _with(made[-1], says=rest)
        elif mark == "? ":
            made[-1] = _with(made[-1], asks=rest)
        else:
            key, kind, label = block.split(" | ")
            made.append(Frame(key, kind, label, (), ()))
    return tuple(made)


def _with(frame: Frame, says: str = "", asks: str = "") -> Frame:
    return Frame(
        frame.key,
        frame.kind,
        frame.label,
        (*frame.says, *([says] if says else [])),
        (*frame.asks, *([asks] if asks else [])),
    )


def distinct(make: Callable[[], str], count: int) -> list[str]:
    """So many things that are not the same; fewer if there are hardly so many."""
    found: dict[str, None] = {}
    for _ in range(_MAX_DRAWS):
        found[make()] = None
        if len(found) == count:
            break
    return list(found)


def _products(draw: Draw, count: int) -> list[str]:
    noun = f" {draw.name(words.PRODUCTS)}" if draw.chance(0.5) else ""
    if draw.chance(0.5):
        name = draw.name(words.PRODUCT_NAMES)
        return distinct(lambda: f"the {name} {draw.between(1, 9)}{noun}", count)
    if draw.chance(0.3):
        name = draw.product()
        return [f"the {part} of the {name}" for part in distinct(lambda: draw.name(words.PARTS), count)]
    return distinct(lambda: f"the {draw.product()}{noun}", count)


def _sites(draw: Draw, count: int) -> list[str]:
    if draw.chance(0.5):
        site = draw.name(words.SITES)
        return distinct(lambda: f"the {draw.place()} {site}", count)
    return distinct(lambda: f"the {draw.name(words.SITES)} in {draw.place()}", count)


def _rules(draw: Draw, count: int) -> list[str]:
    kind = draw.pick(("rules on", "rules for", "terms for", "guidelines on"))
    if draw.chance(0.5):
        rule, year = draw.name(words.RULES), draw.between(2012, 2026)
        return [f"the {year + step} {kind} {rule}" for step in range(count)]
    return distinct(lambda: f"the {kind} {draw.name(words.RULES)}", count)


def _works(draw: Draw, count: int) -> list[str]:
    if draw.chance(0.5):
        return distinct(lambda: f"the {draw.place()} {draw.name(words.WORKS)}", count)
    work = draw.name(words.WORKS)
    return distinct(lambda: f"the {work} in {draw.place()}", count)


def _dishes(draw: Draw, count: int) -> list[str]:
    return distinct(lambda: f"the {draw.name(words.DISHES)}", count)


def _contracts(draw: Draw, count: int) -> list[str]:
    kind = draw.pick(("contract", "agreement"))
    if draw.chance(0.5):
        return distinct(lambda: f"the {draw.name(words.SERVICES)} {kind}", count)
    service = draw.name(words.SERVICES)
    return distinct(lambda: f"the {service} {kind} for {draw.place()}", count)


def _releases(draw: Draw, count: int) -> list[str]:
    name = draw.name(words.PRODUCT_NAMES)
    return distinct(lambda: f"{name} {draw.between(1, 9)}.{draw.between(0, 9)}", count)


def _people(draw: Draw, count: int) -> list[str]:
    return distinct(draw.person, count)


DOMAINS = (
    Domain(
        "product",
        _frames(product_frames.PRODUCT),
        _products,
        lambda draw: draw.pick(
            (
                f"{draw.name(words.PRODUCT_NAMES)} manual",
                "Price list",
                f"{draw.company()} catalogue",
                "Technical data",
                f"Products {draw.between(2015, 2027)}",
                "Operating instructions",
            )
        ),
        ("Technical data", "Products", "Our range", "2 Specification", "Maintenance", "At a glance", "Models"),
        "model",
    ),
    Domain(
        "site",
        _frames(site_frames.SITE),
        _sites,
        lambda draw: draw.pick((f"Visitor guide {draw.place()}", "Our sites", "Locations", "Facilities report")),
        ("Sites", "Where to find us", "Buildings", "3 Locations", "Practical information", "Visiting"),
        "site",
    ),
    Domain(
        "rule",
        _frames(rule_frames.RULE),
        _rules,
        lambda draw: draw.pick(("Staff handbook", "Policy", "House rules", f"{draw.company()} terms", "Regulations")),
        ("Rules", "1 Scope", "Conditions", "What applies", "4 Procedure", "Exceptions", "Terms"),
        "rules",
    ),
    Domain(
        "work",
        _frames(work_frames.WORK),
        _works,
        lambda draw: draw.pick(("Minutes", "Memo", "Progress report", f"Trip report {draw.place()}", "Project list")),
        ("Projects", "Status", "Item 3", "Decisions", "Current works", "Progress", "2 Report"),
        "project",
    ),
    Domain(
        "dish",
        _frames(rule_frames.DISH),
        _dishes,
        lambda draw: draw.pick(("Recipes", "Canteen handbook", "Baking notes", f"{draw.place()} cookbook")),
        ("Recipes", "Baking", "Kitchen notes", "For guests", "Main dishes"),
        "dish",
    ),
    Domain(
        "contract",
        _frames(contract_frames.CONTRACT),
        _contracts,
        lambda draw: draw.pick(("Contracts", "Service agreements", f"Suppliers {draw.between(2015, 2027)}")),
        ("Contracts", "Terms", "5 Payment and term", "Suppliers", "Agreements"),
        "contract",
    ),
    Domain(
        "release",
        _frames(contract_frames.RELEASE),
        _releases,
        lambda draw: draw.pick(("Release notes", "Changelog", "Administrator guide", "Upgrade notes")),
        ("Releases", "Changes", "Requirements", "What is new", "Versions"),
        "version",
    ),
    Domain(
        "person",
        _frames(work_frames.PERSON),
        _people,
        lambda draw: draw.pick(("Staff list", "Who is who", "Team", f"{draw.company()} people", "Newsletter")),
        ("People", "Our team", "Staff", "New colleagues", "Contacts"),
        "name",
    ),
)
