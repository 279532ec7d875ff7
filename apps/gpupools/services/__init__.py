"""Writes: pools, cards, and who has them."""
