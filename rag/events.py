"""What the query path says while it works: one stream of typed events, rendered by CLI, API, page and notebook."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from indexes.types import Chunk, Document
    from rag.plan import Plan


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk chosen for a question, numbered from 1.

    Attributes:
        score: the fused retrieval score in [0, 1].
        similarity: cosine of question and passage.
        rerank_score: what the reranker gave it, on its own scale; None where none judged it.
        start: where its text begins in the document's text, in characters; likewise `end`.
    """

    number: int
    document_id: str
    document_name: str
    path: str
    collection: str
    ordinal: int
    pages: tuple[int, ...]
    section: tuple[str, ...]
    text: str
    num_tokens: int
    start: int
    end: int
    score: float
    similarity: float
    rerank_score: float | None = None

    @classmethod
    def of(
        cls,
        document: Document,
        chunk: Chunk,
        *,
        number: int = 0,
        score: float = 0.0,
        similarity: float = 0.0,
        rerank_score: float | None = None,
    ) -> Passage:
        """A chunk of a document with its number and scores."""
        return cls(
            number=number,
            document_id=document.id,
            document_name=document.name,
            path=document.path,
            collection=document.collection,
            ordinal=chunk.ordinal,
            pages=chunk.pages,
            section=chunk.section,
            text=chunk.text,
            num_tokens=chunk.num_tokens,
            start=chunk.start,
            end=chunk.end,
            score=score,
            similarity=similarity,
            rerank_score=rerank_score,
        )

    @property
    def final_score(self) -> float:
        """The score that it is ranked by."""
        return self.score if self.rerank_score is None else self.rerank_score

    @property
    def place(self) -> str:
        """Where it stands, for a person: `handbook.pdf, page 3` or `notes.md, Setup > Windows`."""
        where = [self.document_name]
        if self.pages:
            first, last = self.pages[0], self.pages[-1]
            where.append(f"page {first}" if first == last else f"pages {first} to {last}")
        elif self.section:
            where.append(" > ".join(self.section))
        return ", ".join(where)

    @property
    def searchable_text(self) -> str:
        """Its text below the document's name and its headings, as it is found."""
        return "\n".join((self.document_name, *self.section, self.text))


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage number tied to a stretch of the answer and, where one was found, to an exact span of the passage.

    Attributes:
        origin: `model` when the model wrote `[n]` itself, `matched` when the answer's sentence was matched to
            the passage afterwards, `quote` when that stretch of the answer is the quote itself,
            `table` when it was read out of the row that is quoted.
        answer_start: the sentence it stands behind, in characters of the answer; likewise `answer_end`.
        quote: the supporting span, verbatim from the passage; empty when none was found.
        quote_start: where the quote begins in the *document's* text, in characters; likewise `quote_end`.
        support: how likely the quote supports what that stretch of the answer says, 0 to 1.
        verified: whether that was enough, and every number, date and name of it stands there, to show it as checked.
        document_id: the document that the passage is of, with `document_name` and the `pages` of the passage.
        passage_start: where the quote begins in the passage's text, in characters; likewise `passage_end`.
        found: whether what that stretch says stands there, with every number, date and name. Where it does and is not
            verified, it is open whether it answers the question; where it does not, there is reason to doubt it.
    """

    number: int
    origin: str
    answer_start: int
    answer_end: int
    quote: str
    quote_start: int
    quote_end: int
    support: float
    verified: bool
    document_id: str = ""
    document_name: str = ""
    pages: tuple[int, ...] = ()
    passage_start: int = 0
    passage_end: int = 0
    found: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer cost.

    Attributes:
        ttft_s: from the question to the first token of the answer, retrieval included.
        prompt_tokens: tokens of the whole prompt: cached, repaired and computed ones.
        cached_tokens: those whose states were taken as they had been kept.
        repaired_tokens: those whose states had been kept and were computed anew, in view of the other passages.
        computed_tokens: those that were read for this answer, as nothing was kept of them.
        drafted_tokens: tokens guessed from the prompt and verified, of which `accepted_tokens` were right.
        tokens_per_s: decoding speed after the first token; None when fewer than two tokens came.
        from_cache: whether the answer had been given before, and was only shown again.
        answered_at: when it was made, if `from_cache`, in seconds since the epoch.
    """

    model: str
    retrieval_s: float
    ttft_s: float | None
    total_s: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    tokens_per_s: float | None
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    repaired_tokens: int = 0
    computed_tokens: int = 0
    from_cache: bool = False
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Approach:
    """How a question is answered that a few passages, read at once, do not answer well.

    Attributes:
        kind: `list`, `comparison`, `table` or `summary`.
        note: what was done, in one line for a person.
    """

    kind: str
    note: str


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How far something is that takes a while: `done` of `total`; sent before the retrieval, or not at all."""

    type: ClassVar[str] = "progress"
    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class RetrievalEvent:
    """The passages the answer will be made from, best first; sent before any token.

    Attributes:
        searched: what was searched for: the question, or what it means after what was said before, or its parts.
        plan: what was decided so that the first token comes in time, where a time was given.
        approach: how it is answered, where that is not from these passages at once.
    """

    type: ClassVar[str] = "retrieval"
    question: str
    passages: tuple[Passage, ...]
    elapsed_s: float
    searched: tuple[str, ...] = ()
    plan: Plan | None = None
    approach: Approach | None = None


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """A piece of the answer: whole UTF-8 characters, as soon as they are known."""

    type: ClassVar[str] = "token"
    text: str


@dataclass(frozen=True, slots=True)
class CitationEvent:
    """A citation of the sentence just finished."""

    type: ClassVar[str] = "citation"
    citation: Citation


@dataclass(frozen=True, slots=True)
class Nearest:
    """A passage that comes near a question which it may not answer, and what of it comes nearest.

    Attributes:
        quote: verbatim from the passage.
        quote_start: where the quote begins in the *document's* text, in characters; likewise `quote_end`.
    """

    number: int
    quote: str
    quote_start: int
    quote_end: int


@dataclass(frozen=True, slots=True)
class DoneEvent:
    """The whole answer and what it cost; the last event of a stream that did not fail.

    Attributes:
        answered: False when the documents do not answer the question and the answer says so.
        finish_reason: `stop`, `length`, `cancelled` or `declined`.
        nearest: what to read instead, where the answer was declined, or where nothing in it could be verified.
    """

    type: ClassVar[str] = "done"
    answer: str
    answered: bool
    finish_reason: str
    citations: tuple[Citation, ...]
    cost: Cost
    nearest: tuple[Nearest, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """The answer failed; one line for a person. The last event of a stream that failed.

    Attributes:
        code: the kind of error, see `rag.errors.code_of`.
    """

    type: ClassVar[str] = "error"
    message: str
    code: str = "failed"


AnswerEvent = ProgressEvent | RetrievalEvent | TokenEvent | CitationEvent | DoneEvent | ErrorEvent


def to_json(event: Any) -> dict[str, Any]:
    """An event as a JSON object, with its type under `type`."""
    return {"type": event.type, **asdict(event)}
