"""Full text of a collection: words as they are searched for, FTS5's index of them, and BM25 over it."""
