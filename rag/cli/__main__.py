"""`python -m rag.cli`, where the command `rag` is not found."""

from rag.cli import main

main()
