"""Tokens: models on disk, the native engine, and whatever else streams tokens for a prompt."""
