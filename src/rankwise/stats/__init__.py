"""Paired, crossed inference on held-out losses: arms against a reference, over seeds and examples.

Pure numpy and scipy; nothing here knows what an arm is made of. Reading order: ``scores`` (what is measured),
``crossed`` (its uncertainty), ``contrast`` (regret, recovery), ``margin`` (what an arm may lose), ``looks`` (when one
may look), ``verdict`` and ``multiplicity`` (what may be claimed), ``planning`` (what would decide), ``bootstrap`` (a
cross-check), ``trend`` and ``mcnemar``. The evidence that the intervals cover is ``docs/simulation.py``.
"""

PUBLIC = (
    "contrast",
    "crossed",
    "looks",
    "margin",
    "mcnemar",
    "multiplicity",
    "scores",
    "single",
    "trend",
    "verdict",
    "verdict_words",
)
"""Modules that other rooms import."""
