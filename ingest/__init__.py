"""Documents to chunks to vectors: discover, extract, chunk, embed, write."""
