"""A run on disk: its checkpoint, and the state that a later run may begin from."""
