"""Tuning the late-interaction head on questions whose passages are known."""
