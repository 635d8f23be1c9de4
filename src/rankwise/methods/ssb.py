"""SSB, of the paper of :mod:`rankwise.methods.ssl`: See Further for Parameter Efficient Fine-tuning by Standing on the
Shoulders of Decomposition, Si et al., 2024, arXiv 2407.05417.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.parametrizations import Gains
from rankwise.adapters.placements import Placement
from rankwise.methods.ssl import CARD as SSL
from rankwise.methods.ssl import ssl


def ssb(
    placement: str | Placement = "all-linear",
) -> Adapter:
    """Return SSB: W = diag(b) W0 diag(a), one gain for every input and every output."""
    return replace(ssl(placement), parametrization=Gains("both"))


CARD = replace(SSL, name="ssb", formula="W = W0 + (diag(b) W0 diag(a) - W0)", build=ssb)
