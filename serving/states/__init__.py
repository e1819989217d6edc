"""Key/value states of texts that were read once, kept in memory and on disk."""
