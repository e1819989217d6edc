"""The page: plain ES modules, one style sheet, no build step; served by `rag.api`."""
