"""Test collections in the formats in which they are published."""
