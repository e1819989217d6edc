"""Answers that were given before, kept to be shown again: as long as the index and the settings are the same."""

from rag.answers.cache import AnswerCache, KeptAnswer
from rag.answers.key import AnswerKey, answer_key
from rag.answers.remember import Remembered

__all__ = ["AnswerCache", "AnswerKey", "KeptAnswer", "Remembered", "answer_key"]
