"""Finds each arm's learning rate: rates to try, who stops early, who is a finalist."""
