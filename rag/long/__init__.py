"""Questions and tasks that a few passages, read at once, do not answer: lists, comparisons, tables, summaries."""
