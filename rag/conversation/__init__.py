"""What a question means in view of what was said before it, and how many questions it is."""

from rag.conversation.understand import (
    MAX_ANSWER_CHARACTERS,
    MAX_TURNS,
    Meaning,
    Turn,
    needed,
    understand,
)

__all__ = ["MAX_ANSWER_CHARACTERS", "MAX_TURNS", "Meaning", "Turn", "needed", "understand"]
