"""Reads finished studies for the analyses that look at them: one study, several cells, or a file of scores."""

from __future__ import annotations
