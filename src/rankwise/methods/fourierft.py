"""FourierFT, Parameter-Efficient Fine-Tuning with Discrete Fourier Transform, Gao et al., 2024, arXiv 2405.03003."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Fourier
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def fourierft(
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    frequencies: int = 1000,
    scale: float = 150.0,
    seed: int = 777,
) -> Adapter:
    """Return FourierFT: the update is the inverse transform of a few trained entries of a spectrum.

    Args:
        frequencies: entries that train in each layer.
        scale: of the update; 150 is PEFT's.
        seed: draws which entries.
    """
    return Adapter(
        rank=1,
        alpha=1.0,
        parametrization=Fourier(frequencies, scale, seed),
        init=Own(),
        scaling=Constant(),
        placement=place(placement),
        dropout=dropout,
    )


CARD = Card(
    name="fourierft",
    arxiv="2405.03003",
    title="Parameter-Efficient Fine-Tuning with Discrete Fourier Transform",
    axes={"parametrization": "fourier", "init": "own", "scaling": "constant"},
    formula="W = W0 + scale Re(ifft2(F)), a few entries of F train",
    merges=True,
    export_rank="-",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{gao2024parameter,
  title={Parameter-Efficient Fine-Tuning with Discrete Fourier Transform},
  author={Gao, Ziqi and Wang, Qichao and Chen, Aochuan and Liu, Zijing and Wu, Bingzhe and Chen, Liang and Li, Jia},
  journal={arXiv preprint arXiv:2405.03003},
  year={2024}
}""",
    build=fourierft,
)
