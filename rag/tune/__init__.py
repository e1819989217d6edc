"""Lessons for an adapter: made from files of questions, and by construction."""

from rag.tune.material import lessons_from

__all__ = ["lessons_from"]
