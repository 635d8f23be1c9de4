"""Where a method stands in two taxonomies: of subspace tuning, Si et al., 2024, arXiv 2407.05417, and of PEFT at large.

A weight is changed as g(f(W0)): f rebuilds W0 from its own parts (reconstruction), g adds to it (extension), and a
method can do both (combination). Reconstruction has three modes: 1 changes the singular values, 2 scales what the
singular vectors span (rows, columns, outputs), 3 turns the singular vectors. Training whole weights is none of them.

The general classes: additive (new parts beside the weights), selective (some of the weights, or of their differences),
reparameterised (the weights as a function of fewer numbers), hybrid.

Deviations: rotations (OFT, BOFT, HRA) and the tuning of norms are not placed in 2407.05417; they go by its definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rankwise.adapters import Adapter, Full
from rankwise.adapters.parametrizations import Spectrum

Subspace = Literal["reconstruction/1", "reconstruction/2", "reconstruction/3", "extension", "combination", "-"]
General = Literal["additive", "selective", "reparameterised", "hybrid", "full"]


@dataclass(frozen=True)
class Tag:
    """A place in the taxonomy of subspace tuning and the general class."""

    subspace: Subspace
    general: General

    def to_dict(self) -> dict[str, str]:
        """Return plain JSON values, as `rankwise methods --json` names them."""
        return {"taxonomy": self.subspace, "class": self.general}


USUAL = Tag("extension", "reparameterised")
# By name of the parametrization; what is not here has the usual tag.
TAGS = {
    "spectrum": Tag("reconstruction/1", "reparameterised"),
    "ia3": Tag("reconstruction/2", "additive"),
    "gains": Tag("reconstruction/2", "reparameterised"),
    "bias": Tag("reconstruction/2", "selective"),
    "norm-tuning": Tag("reconstruction/2", "selective"),
    "masked-difference": Tag("reconstruction/3", "selective"),
    "orthogonal-blocks": Tag("reconstruction/3", "reparameterised"),
    "butterfly": Tag("reconstruction/3", "reparameterised"),
    "householder": Tag("reconstruction/3", "reparameterised"),
    "prefix": Tag("reconstruction/3", "additive"),
    "soft-prompt": Tag("reconstruction/3", "additive"),
    "encoded-prompt": Tag("reconstruction/3", "additive"),
    "bottleneck": Tag("extension", "additive"),
    "tensor-train-bottleneck": Tag("extension", "additive"),
    "weight-decomposed": Tag("combination", "reparameterised"),
    "spectral": Tag("combination", "reparameterised"),
    "hybrid": Tag("combination", "hybrid"),
    "long-context": Tag("extension", "hybrid"),
    "whole-matrix": Tag("-", "full"),
}


def tag(spec: Adapter | Full) -> Tag:
    """Return a method's tag; SVDiff, which shifts singular values behind a ReLU, is a combination in 2407.05417."""
    if isinstance(spec, Full):
        return TAGS["whole-matrix"]
    if isinstance(spec.parametrization, Spectrum) and spec.parametrization.form == "shift":
        return Tag("combination", "reparameterised")
    return TAGS.get(spec.parametrization.name, USUAL)
