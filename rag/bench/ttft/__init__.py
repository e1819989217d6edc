"""`rag bench ttft`: the time to the first token, with and without kept states of passages."""
