"""Tasks learned one after another: streams, strategies, scores, and the study of orthogonalization events."""
