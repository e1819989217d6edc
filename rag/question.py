"""A question as it may be asked."""

from __future__ import annotations

from rag.errors import RagError

MAX_QUESTION_CHARACTERS = 4000
LEANS_ON = " (about "  # stands between a follow-up and the words of earlier questions that it leans on


def checked_question(question: str) -> str:
    """The question without surrounding space.

    Raises:
        RagError: it is empty, or longer than a question is.
    """
    question = question.strip()
    if not question:
        raise RagError("the question is empty")
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise RagError(
            f"the question has {len(question):,} characters, {MAX_QUESTION_CHARACTERS:,} are allowed; "
            "put long texts into a document"
        )
    return question
