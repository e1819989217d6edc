"""From runs of text on a PDF page to lines, and from lines away with what repeats on every page."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.extract.document import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CELL_GAP_EM = 1.6
_CELL_GAP_SHORT_EM = 1.0  # after a short text, whose width is known well
_SHORT_CHARS = 12
_MAX_RUNNING_CELLS = 2  # a line of more is the header of a table
_RUNNING_LINES = 2  # looked at on each page's top and bottom
BULLET = re.compile(r"^[•‣◦▪●■·\uf0b7\uf0a7\u2013]\s*")
_NARROW = frozenset("iljtfrI.,:;'|!()[]{} -`\"")
_WIDE = frozenset("mwMW@%—…&")
_LEADERS = re.compile(r"(?:\s?\.){4,}")  # between an entry of a table of contents and its page
_UNDECODED = re.compile(r"(?:/[A-Za-z]{1,2}\d+ ?){2,}")  # names of glyphs whose characters the PDF does not tell
_BULLET_GLYPH = re.compile(r"^/[A-Za-z]{1,2}\d+\s+")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
_BASELINE_EM = 0.45
_CELL_SPACES = re.compile(r" {3,}")


@dataclass(frozen=True, slots=True)
class Fragment:
    """A run of text as it is drawn: the point where it begins, the size of its type, its direction in degrees."""

    text: str
    x: float
    y: float
    size: float
    angle: int
    bold: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its fragments in the order in which they are drawn."""

    number: int
    fragments: list[Fragment]


@dataclass(slots=True)
class Line:
    """Text on one baseline, in cells where there are wide gaps in it."""

    y: float
    size: float
    cells: list[tuple[float, str]]  # where each begins, and its text
    bold_chars: int = 0
    end: float = 0.0
    longest: int = 0  # characters of the fragment that gave the size

    @property
    def text(self) -> str:
        """All of it, on one line."""
        text = _UNDECODED.sub(" ", " ".join(text for _, text in self.cells))
        return one_line(_BULLET_GLYPH.sub("• ", _LEADERS.sub(" … ", text)))

    @property
    def x(self) -> float:
        """Where it begins."""
        return self.cells[0][0]

    @property
    def is_bold(self) -> bool:
        """Whether nearly all of it is set in bold."""
        return self.bold_chars > 0.8 * sum(len(text.strip()) for _, text in self.cells)


def lines_of(fragments: Sequence[Fragment]) -> Iterator[Line]:
    """Lines of the page's main direction; text in any other one is a stamp or an axis label."""
    weights = Counter[int]()
    for fragment in fragments:
        weights[fragment.angle] += len(fragment.text.strip())
    main = max(weights, key=lambda angle: weights[angle], default=0)
    seen: set[tuple[int, int, str]] = set()  # text drawn twice at one place is a bold effect
    line: Line | None = None
    is_joined = False  # whether pypdf sees no gap before the next fragment
    for fragment in fragments:
        if fragment.angle != main and fragment.text.strip():
            continue
        x, y = _turned(fragment, main)
        for number, part in enumerate(fragment.text.split("\n")):
            is_joined = is_joined and number == 0
            place = (round(x), round(y), part)
            if not part.strip() or (place in seen and len(part) > 1):
                is_joined = is_joined and not part
                continue
            seen.add(place)
            if line is None or number > 0 or not _continues(line, x, y, fragment.size):
                if line is not None:
                    yield line
                line = Line(y, fragment.size, [])
            _add(line, part, x, fragment, is_joined=is_joined and not part[0].isspace())
            is_joined = not part[-1].isspace()
    if line is not None:
        yield line


def _turned(fragment: Fragment, angle: int) -> tuple[float, float]:
    """Position along and across the direction of reading."""
    if angle == 0:
        return fragment.x, fragment.y
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return fragment.x * cos + fragment.y * sin, fragment.y * cos - fragment.x * sin


def _continues(line: Line, x: float, y: float, size: float) -> bool:
    if abs(y - line.y) > _BASELINE_EM * max(size, line.size):
        return False
    return x >= line.cells[-1][0] - 0.5 * size or bool(_RIGHT_TO_LEFT.search(line.cells[-1][1]))


def _add(line: Line, text: str, x: float, fragment: Fragment, *, is_joined: bool) -> None:
    if fragment.bold:
        line.bold_chars += len(text.strip())
    if len(text) > line.longest:
        line.size, line.longest = fragment.size, len(text)
    parts = _CELL_SPACES.split(text.strip())
    if line.cells and not _is_gap(line, x, is_joined=is_joined):
        start, before = line.cells[-1]
        part = parts.pop(0)
        line.cells[-1] = (start, f"{before}{'' if is_joined else ' '}{part}")
        line.end = max(line.end, x + width_of(part, fragment.size))
        x = line.end + line.size
    for part in parts:
        line.cells.append((x, part))
        line.end = x + width_of(part, fragment.size)
        x = line.end + line.size


def _is_gap(line: Line, x: float, *, is_joined: bool) -> bool:
    """Whether text at `x` stands in another cell than the text before it."""
    start, before = line.cells[-1]
    if not BULLET.sub("", before):
        return False
    gap = x - line.end - 0.05 * (line.end - start)
    short = len(before) <= _SHORT_CHARS or is_joined
    return gap > (_CELL_GAP_SHORT_EM if short else _CELL_GAP_EM) * line.size


def width_of(text: str, size: float) -> float:
    """Width of a text in an ordinary proportional face, near enough to find gaps."""
    narrow = sum(character in _NARROW for character in text)
    wide = sum(character in _WIDE or character.isupper() for character in text)
    return size * (0.3 * narrow + 0.7 * wide + 0.52 * (len(text) - narrow - wide))


def drop_running(lines: dict[int, list[Line]]) -> None:
    """Leaves out headers, footers and page numbers: what returns at the edge of several pages."""
    edges: dict[int, list[Line]] = {}
    for number, page_lines in lines.items():
        by_height = sorted(page_lines, key=lambda line: -line.y)
        edges[number] = by_height[:_RUNNING_LINES] + by_height[_RUNNING_LINES:][-_RUNNING_LINES:]
    counts = Counter(pattern for page in edges.values() for pattern in {_pattern(line) for line in page})
    least = max(3, min(8, len(lines) // 5))
    candidates = [line for page in edges.values() for line in page if len(line.cells) <= _MAX_RUNNING_CELLS]
    running = {id(line) for line in candidates if counts[_pattern(line)] >= least}
    if len(running) == sum(map(len, lines.values())):
        return  # pages of one line each, such as slides
    for number, page_lines in lines.items():
        lines[number] = [line for line in page_lines if id(line) not in running]


def _pattern(line: Line) -> str:
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", line.text.casefold())
