"""How right answers are: questions with known answers, asked in every way that is compared."""
