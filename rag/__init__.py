"""The query path and everything a person touches."""
