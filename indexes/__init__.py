"""What is stored and found: documents, chunks, vectors and full text."""
