"""What goes in and out of the API, as OpenAPI describes it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from indexes.types import Chunk, CollectionInfo, Document, Filter, JobState
from ingest.metadata import MAX_NAME_CHARS, MAX_PAIRS, MAX_VALUE_CHARS
from rag.conversation import MAX_ANSWER_CHARACTERS, MAX_TURNS
from rag.events import Approach, Citation, Cost, Nearest, Passage
from rag.filters import FilterError, moment
from rag.long.summary import MAX_DOCUMENTS
from rag.plan import Plan
from rag.question import MAX_QUESTION_CHARACTERS

Question = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARACTERS),
    Field(description="The question, in plain words.", examples=["How long is the notice period?"]),
]
CollectionName = Annotated[
    str,
    StringConstraints(pattern=r"^\w[\w .-]{0,63}$"),
    Field(description="A named set of documents; the server's default collection when left out."),
]
DocumentId = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{6,64}$"),
    Field(description="The document's id (SHA-256 of its bytes), or the first six or more of its hex digits."),
]


class Request(BaseModel):
    """Base of the request bodies: an unknown field is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")


def _checked_moment(text: str) -> str:
    try:
        moment(text)
    except FilterError as error:
        raise ValueError(str(error)) from error
    return text


Moment = Annotated[str, StringConstraints(max_length=64), AfterValidator(_checked_moment)]
Glob = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^*]*(\*+[^*]*){0,10}$")
]
MediaType = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[\w.+*-]+(/[\w.+*-]+)?$", max_length=100)
]
MetadataName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME_CHARS)]
MetadataValue = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_VALUE_CHARS)]


class DocumentFilter(Request):
    """Which documents may be found. All that is given must hold; of a list, one."""

    documents: list[DocumentId] = Field([], max_length=100, description="Ids, or their first six or more digits.")
    paths: list[Glob] = Field(
        [],
        max_length=100,
        description="Globs that a document's name or path matches: `*.pdf`, `reports/**`. Case does not matter.",
        examples=[["*.pdf"]],
    )
    types: list[MediaType] = Field(
        [], max_length=100, description="Media types, in which `*` stands for anything, or endings: `text/*`, `pdf`."
    )
    since: Moment | None = Field(None, description="Added on this day or later, or since a moment; ISO 8601.")
    until: Moment | None = Field(None, description="Added on this day or before, or before a moment; ISO 8601.")
    metadata: dict[MetadataName, MetadataValue] = Field(
        {}, max_length=MAX_PAIRS, description="Metadata that the document has.", examples=[{"project": "apollo"}]
    )

    def as_filter(self) -> Filter | None:
        """The filter; None when it says nothing."""
        where = Filter(
            documents=tuple(self.documents),
            paths=tuple(self.paths),
            types=tuple(self.types),
            added_from=None if self.since is None else moment(self.since),
            added_to=None if self.until is None else moment(self.until, is_end=True),
            metadata=tuple(sorted(self.metadata.items())),
        )
        return None if where == Filter() else where


class Filtered(Request):
    """Base of the requests that search."""

    filter: DocumentFilter | None = Field(None, description="Which documents may be found; all when left out.")

    @property
    def where(self) -> Filter | None:
        """The filter; None when all documents may be found."""
        return None if self.filter is None else self.filter.as_filter()


class EarlierTurn(Request):
    """A question that was asked before in the same conversation, and what was answered."""

    question: Question
    answer: str = Field(max_length=MAX_ANSWER_CHARACTERS)


class Rendered(Request):
    """Base of the requests whose answer comes as a stream, or whole."""

    stream: bool = Field(True, description="Server-sent events as they happen; `false`: one JSON object.")
    render: Literal["text", "html"] = Field(
        "text",
        description="`html` adds the answer as cleaned HTML with its citations as buttons: in `html` events "
        "while streaming, in the field `html` otherwise.",
    )


class AskRequest(Filtered, Rendered):
    """A question to answer from the documents."""

    question: Question
    collection: CollectionName | None = None
    history: list[EarlierTurn] = Field(
        [],
        max_length=MAX_TURNS,
        description="What was asked and answered before, the oldest first: a follow-up such as `and when?` is "
        "understood from it. A question that stands by itself is answered without it.",
    )
    max_new_tokens: int | None = Field(None, ge=1, le=4096, description="Longest answer, in tokens.")
    temperature: float | None = Field(None, ge=0, le=2, description="0 always picks the likeliest token.")
    top_k: int | None = Field(None, ge=1, le=50, description="How many passages to answer from.")
    quote: bool | None = Field(
        None,
        description="Whether the answer consists of quotations alone. Each has its citations, whose `answer_start` and "
        "`answer_end` enclose it: there the answer is what the document says, character for character.",
    )
    target_ttft_ms: float | None = Field(
        None,
        gt=0,
        description="Time to the first token, in milliseconds, that passages, compression and repair are chosen to "
        "meet, retrieval included; the `plan` says which they are.",
    )


class SummaryRequest(Rendered):
    """Documents to summarise."""

    documents: list[DocumentId] = Field(
        min_length=1,
        max_length=MAX_DOCUMENTS,
        description="Ids, or their first six or more digits.",
        examples=[["3f9a5c"]],
    )
    collection: CollectionName | None = None
    length: Literal["short", "medium", "long"] = Field(
        "medium", description="Of each document at most 5, 10 or 24 lines, and no more than a third of its sentences."
    )
    own_words: bool = Field(
        False, description="The model says it, where what it says can be verified; else all is word for word."
    )


class AskResponse(BaseModel):
    """The whole answer, the passages it was made from, and what it cost."""

    question: str
    searched: list[str] = Field(description="What was searched for: the question, what it means here, or its parts.")
    answer: str
    html: str | None = Field(None, description="The answer as cleaned HTML, when `render` was `html`.")
    answered: bool = Field(description="False when the documents do not answer the question.")
    finish_reason: str = Field(description="`stop`, `length`, `cancelled` or `declined`.")
    citations: list[Citation]
    nearest: list[Nearest] = Field(
        description="What to read instead, where the question was declined, or where nothing could be verified."
    )
    passages: list[Passage]
    plan: Plan | None = Field(None, description="What was decided so that the first token came in time.")
    approach: Approach | None = Field(
        None, description="How it was answered, where that was not from these passages at once: a list, for example."
    )
    cost: Cost


class SearchRequest(Filtered):
    """A search for passages, without an answer."""

    question: Question
    collection: CollectionName | None = None
    limit: int | None = Field(None, ge=1, le=50, description="How many passages at most.")


class SearchResponse(BaseModel):
    """The passages found, best first."""

    passages: list[Passage]
    note: str | None = Field(None, description="Why there are none, where a filter let no document through.")
    elapsed_s: float


class DocumentList(BaseModel):
    """The documents of one collection, or of all."""

    documents: list[Document]


class DocumentDetail(BaseModel):
    """A document and a page of its chunks."""

    document: Document
    chunks: list[Chunk]
    next_offset: int | None = Field(description="Where the next page of chunks begins; null at the end.")


class DocumentText(BaseModel):
    """A stretch of a document's text."""

    document: Document
    start: int = Field(description="Where the stretch begins, in characters of the document's text.")
    end: int
    num_chars: int = Field(description="Length of the whole text.")
    text: str


class CollectionList(BaseModel):
    """Every collection and what it holds."""

    default: str = Field(description="The collection that is used when a request names none.")
    collections: list[CollectionInfo]


class Progress(BaseModel):
    """How far a job is within its stage."""

    done: int
    total: int


class JobView(BaseModel):
    """One background ingest of one uploaded file."""

    id: str
    collection: str
    name: str = Field(description="The file's name, for display.")
    state: JobState
    stage: str = Field(
        description="What is being done: extract, chunk, embed, write, or states, when the document can be found."
    )
    progress: Progress | None = Field(description="Within the stage, while the job runs.")
    document_id: str | None = Field(description="The document made of the file, when the job is done.")
    error: str | None = Field(description="Why the job failed, in one line.")
    created_at: float
    updated_at: float


class JobList(BaseModel):
    """Ingest jobs, newest first."""

    jobs: list[JobView]


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Questions can be answered now."""

    status: Literal["ready"] = "ready"
    model: str


class Limits(BaseModel):
    """What the server takes."""

    max_upload_bytes: int
    max_question_characters: int = MAX_QUESTION_CHARACTERS
    max_files: int


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What happened and what to do about it, in one line.")
    instance: str = Field(description="The path of the request.")
    errors: list[dict[str, str]] | None = Field(
        None, description="Which fields are wrong and why, for an invalid request."
    )
