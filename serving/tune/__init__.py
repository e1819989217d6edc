"""Teaching a model to read: low-rank adapters, trained in the layout in which prompts are served."""
