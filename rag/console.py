"""How events look on a terminal and in a pipe: results on stdout, progress on stderr, no colour off a terminal."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rag.events import CitationEvent, DoneEvent, ErrorEvent, ProgressEvent, RetrievalEvent, TokenEvent, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from indexes.types import Chunk, Document
    from rag.events import AnswerEvent, Citation, Cost, Nearest, Passage

_QUOTE_CHARACTERS = 220
_ENDINGS = {
    "length": "Cut off at the longest answer allowed (max_new_tokens).",
    "deadline": "Cut off at the time allowed (answer_timeout_s).",
}
_CITED = "It stands in its source; whether it answers the question could not be checked."
_NOT_FOUND = "What it says was not found in the passages: read them before relying on it."


class Output:
    """The two streams of one command.

    Args:
        quiet: results only.
        as_json: results as JSON, one object a line; nothing else on stdout.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self.out = Console(highlight=False, soft_wrap=True, emoji=False)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        self._note_showing = False

    def note(self, message: str) -> None:
        """A sign of life that is not part of the result; on a terminal each replaces the one before."""
        if self.quiet:
            return
        if self.err.is_terminal:
            self.err.file.write(f"\r\x1b[2K{message[: self.err.width - 1]}")
            self.err.file.flush()
            self._note_showing = True

    def clear_note(self) -> None:
        """Takes the last sign of life off the terminal, and nothing else."""
        if self._note_showing:
            self.err.file.write("\r\x1b[2K")
            self.err.file.flush()
            self._note_showing = False

    def say(self, message: str) -> None:
        """A line on stderr, unless quiet."""
        if not self.quiet:
            self.clear_note()
            self.err.print(escape(message))

    def fail(self, message: str) -> None:
        """An error, in one line."""
        self.clear_note()
        self.err.print(f"[red]error:[/red] {escape(' '.join(message.split()))}")

    def json(self, content: Any) -> None:
        """One JSON object on a line of stdout."""
        sys.stdout.write(json.dumps(content, default=_plain, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
        """Rows under headings; off a terminal nothing is cut, however long."""
        if not self.out.is_terminal:
            self._plain_table([columns, *rows], [column in right for column in columns])
            return
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(column, justify="right" if column in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.out.print(table)

    def _plain_table(self, rows: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = zip(row, widths, right, strict=True)
            line = "  ".join(cell.rjust(width) if is_right else cell.ljust(width) for cell, width, is_right in cells)
            self.out.file.write(line.rstrip() + "\n")


class AnswerView:
    """Renders one answer as it streams."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.passages: tuple[Passage, ...] = ()
        self.done: DoneEvent | None = None
        self.error: str | None = None
        self._kind = ""

    def show(self, events: Iterable[AnswerEvent]) -> None:
        """Takes a whole stream of events."""
        for event in events:
            if self._output.as_json:
                self._output.json(to_json(event))
            else:
                self._show(event)
            if isinstance(event, DoneEvent):
                self.done = event
            elif isinstance(event, ErrorEvent):
                self.error = event.message

    def _show(self, event: AnswerEvent) -> None:
        match event:
            case RetrievalEvent():
                self.passages = event.passages
                if event.searched not in {(), (event.question,)}:
                    self._output.say(f"searched for: {' | '.join(event.searched)}")
                if event.plan is not None:
                    self._output.say(f"plan: {event.plan}")
                if event.approach is not None:
                    self._kind = event.approach.kind
                    self._output.say(f"{event.approach.kind}: {event.approach.note}")
            case ProgressEvent():
                self._output.note(f"{event.stage}: {event.done} of {event.total}")
            case TokenEvent():
                self._output.clear_note()
                self._write(event.text)
            case CitationEvent() if event.citation.origin == "matched":
                self._write(f" [{event.citation.number}]")
            case DoneEvent():
                self._finish(event)
            case ErrorEvent():
                self._output.clear_note()

    def _write(self, text: str) -> None:
        self._output.out.file.write(text)
        self._output.out.file.flush()

    def _finish(self, done: DoneEvent) -> None:
        self._write("\n" if done.answer else "")
        if self._output.quiet:
            return
        if done.finish_reason in _ENDINGS:
            self._output.out.print(f"\n[yellow]{_ENDINGS[done.finish_reason]}[/yellow]")
        if done.answered and not any(citation.verified for citation in done.citations):
            found = _is_found(done.citations)
            self._output.out.print(f"\n[dim]{_CITED}[/dim]" if found else f"\n[yellow]{_NOT_FOUND}[/yellow]")
        citations: Iterable[Citation] = done.citations
        if self._kind == "summary":  # its lines are the quotes
            citations = {each.number: replace(each, quote="") for each in citations}.values()
        print_sources(self._output.out, self.passages, list(citations), done.nearest)
        self._output.out.print(f"\n[dim]{escape(cost_line(done.cost))}[/dim]")


def _is_found(citations: Sequence[Citation]) -> bool:
    """Whether each stretch of the answer that is cited for stands in one of the passages that it cites."""
    stretches = {(each.answer_start, each.answer_end) for each in citations}
    found = {(each.answer_start, each.answer_end) for each in citations if each.found}
    return bool(stretches) and stretches == found


def print_sources(
    out: Console, passages: Sequence[Passage], citations: Sequence[Citation], nearest: Sequence[Nearest]
) -> None:
    """Cited passages with the quoted span, then what comes nearest, or else what was read and not cited."""
    cited = {citation.number for citation in citations}
    if cited:
        out.print("\n[bold]Sources[/bold]")
    for passage in passages:
        for citation in [citation for citation in citations if citation.number == passage.number]:
            out.print(f"[bold]\\[{passage.number}][/bold] {escape(passage.place)}  {_mark(citation)}")
            if citation.quote:
                out.print(f'    [italic]"{escape(_one_line(citation.quote))}"[/italic]')
    spans = {near.number: near.quote for near in nearest}
    others = [each for each in passages if each.number not in cited and (not spans or each.number in spans)]
    if others:
        heading = "Nearest passages" if nearest and not cited else "Also read"
        out.print(f"\n[bold]{heading}[/bold]")
    for passage in others:
        out.print(
            f"\\[{passage.number}] {escape(passage.place)}  [dim]similarity {passage.similarity:.2f}[/dim]\n"
            f"    [dim]{escape(_one_line(spans.get(passage.number, passage.text)))}[/dim]"
        )


def _mark(citation: Citation) -> str:
    """What is known of a citation, in a word or two."""
    if citation.verified:
        return "[dim]checked[/dim]"
    return "[dim]cited[/dim]" if citation.found else "[yellow]not found there[/yellow]"


def print_passages(out: Console, passages: Sequence[Passage]) -> None:
    """Search results, best first, each with its whole text."""
    for passage in passages:
        out.print(
            f"[bold]\\[{passage.number}][/bold] {escape(passage.place)}  "
            f"[dim]score {passage.final_score:.2f}, cosine {passage.similarity:.2f}[/dim]"
        )
        out.print(escape(_indented(passage.text)) + "\n")


def print_document(out: Console, document: Document, chunks: Sequence[Chunk]) -> None:
    """A document as it was understood."""
    facts = [document.media_type, size(document.num_bytes), f"{document.num_chunks} chunks"]
    facts += [f"{document.num_tokens} tokens", f"collection {document.collection}"]
    if document.num_pages:
        facts.insert(2, f"{document.num_pages} pages")
    out.print(f"[bold]{escape(document.name)}[/bold]  {escape(document.title or '')}")
    out.print(escape(", ".join(facts)))
    out.print(f"{escape(document.path)}\n{document.id}", markup=False)
    for name, value in document.metadata:
        out.print(f"{name}={value}", markup=False)
    out.print()
    for chunk in chunks:
        pages = f" page {'-'.join(str(page) for page in chunk.pages)}" if chunk.pages else ""
        heading = f"#{chunk.ordinal}{pages} {' > '.join(chunk.section)}".rstrip()
        out.print(f"[dim]{escape(heading)}, {chunk.num_tokens} tokens[/dim]")
        out.print(escape(_indented(chunk.text)) + "\n")


def cost_line(cost: Cost) -> str:
    """What an answer cost, in one line."""
    if cost.answered_at is not None:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(cost.answered_at))
        by = "" if cost.model == "none" else f" · {cost.model}"
        return f"answered before, at {when} · {cost.total_s * 1000:.0f} ms{by}"
    parts = [] if cost.ttft_s is None else [f"first token {cost.ttft_s:.2f} s"]
    if cost.tokens_per_s is not None:
        parts.append(f"{cost.tokens_per_s:.0f} tokens/s")
    if cost.prompt_tokens:
        repaired = f", {cost.repaired_tokens} repaired" if cost.repaired_tokens else ""
        shares = f"{cost.cached_tokens} cached{repaired}, {cost.computed_tokens} computed"
        parts.append(f"{cost.prompt_tokens} prompt tokens: {shares}")
        parts.append(f"{cost.completion_tokens} answer tokens")
    if cost.drafted_tokens:
        parts.append(f"{cost.accepted_tokens} of {cost.drafted_tokens} drafted tokens accepted")
    parts += [f"retrieval {cost.retrieval_s * 1000:.0f} ms", f"total {cost.total_s:.2f} s"]
    if cost.model != "none":
        parts.append(cost.model)
    return " · ".join(parts)


def size(num_bytes: float) -> str:
    """Bytes for a person: `812 B`, `3.4 MB`."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:  # noqa: PLR2004
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} GB"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _QUOTE_CHARACTERS else flat[:_QUOTE_CHARACTERS].rsplit(" ", 1)[0] + " …"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
