"""A second, closer look at the best candidates for a question."""
