"""Turns what came of the runs into verdicts and the result file."""
