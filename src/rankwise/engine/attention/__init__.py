"""Attention of our own in training passes: replaced, dropped, in shifted groups."""
