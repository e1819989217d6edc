"""How well questions are answered: the share found, right, declined and cited, on questions with known answers."""
