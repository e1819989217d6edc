"""How well passages are found: test collections read, searched in every way, and the ways compared."""
