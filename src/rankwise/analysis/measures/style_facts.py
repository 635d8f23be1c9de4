"""The style-versus-facts table in closed form: two fixed spectra in 64 dimensions.

Style: 10, 6, 3, 1.5 and a flat tail of 0.02. Facts: 1 / sqrt(i). The source gives no data; these are our choice.
The error depends on the spectrum and the scale alone, so no matrix and no random direction is needed
(docs/design/formulas.md#style-and-facts).
"""

from __future__ import annotations

import torch
from torch import Tensor

from rankwise.analysis.measures.spectra import kept_energy, truncation_error

SIZE = 64
RANKS = (1, 2, 4, 8, 16, 32, 64)
ALPHA = 16.0


def style_spectrum() -> Tensor:
    """Four strong directions and a flat tail, (64,) float64."""
    head = [10.0, 6.0, 3.0, 1.5]
    return torch.tensor(head + [0.02] * (SIZE - len(head)), dtype=torch.float64)


def facts_spectrum() -> Tensor:
    """A long tail, 1 / sqrt(i), (64,) float64."""
    return torch.arange(1, SIZE + 1, dtype=torch.float64) ** -0.5


def style_facts_table(alpha: float = ALPHA, ranks: tuple[int, ...] = RANKS) -> list[dict[str, float]]:
    """Return one row per rank: relative errors unscaled, at alpha/r and at alpha/sqrt(r), and the kept energy."""
    rows = []
    for rank in ranks:
        row: dict[str, float] = {"rank": rank}
        for name, sigma in (("style", style_spectrum()), ("facts", facts_spectrum())):
            row[f"{name}_unscaled"] = truncation_error(sigma, rank)
            row[f"{name}_alpha_over_r"] = truncation_error(sigma, rank, alpha / rank)
            row[f"{name}_alpha_over_sqrt_r"] = truncation_error(sigma, rank, alpha / rank**0.5)
            row[f"{name}_energy"] = kept_energy(sigma, rank)
        rows.append(row)
    return rows


def scale_table(alpha: float = ALPHA, ranks: tuple[int, ...] = (1, 4, 8, 16, 32, 64)) -> list[dict[str, float]]:
    """Return alpha/r and alpha/sqrt(r) by rank (docs/design/formulas.md#scale)."""
    return [{"rank": r, "alpha_over_r": alpha / r, "alpha_over_sqrt_r": alpha / r**0.5} for r in ranks]
