"""The documents and questions that `rag demo` shows itself with."""
