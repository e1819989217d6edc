"""`rag bench search`: vectors of collections of many sizes, beside plain FAISS."""
