"""Lessons by construction: invented documents of many kinds, and questions whose answers are known."""

from rag.tune.made.lessons import made_lessons

__all__ = ["made_lessons"]
