"""Attention of our own in training passes: replaced, dropped, by a pattern."""
