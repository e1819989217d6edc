"""Vectors of a collection, searched by FAISS: derived from the store, checked against it, renewed when they must be."""
