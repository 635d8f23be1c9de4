"""``analyze scale``: does alpha/r fade out at high rank, and does alpha/sqrt(r) keep learning alive? (2312.03732)"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from rankwise.adapters import Adapter
from rankwise.adapters.scalings import AlphaOverRank, AlphaOverSqrtRank
from rankwise.analysis.bench import Bench, Trial
from rankwise.analysis.finding import Axis, Finding, Panel, Table, decide
from rankwise.analysis.measures.kernels import log_slope
from rankwise.analysis.measures.style_facts import ALPHA, scale_table
from rankwise.analysis.request import Request
from rankwise.engine import AdapterTrainee, Trainee, Watch
from rankwise.studies.progress import Progress

SCALINGS = (("alpha/r", AlphaOverRank()), ("alpha/sqrt(r)", AlphaOverSqrtRank()))
FADED = 0.05  # share of the best gain


@dataclass
class Norms(Watch):
    """Gradient norm of every step, and what the adapter adds to each layer's output per unit of it."""

    gradient: list[float] = field(default_factory=list)
    activation: list[float] = field(default_factory=list)

    def gradients(self, step: int, trainee: Trainee) -> None:
        """Norm over all trained tensors, before clipping."""
        grads = [p.grad for p in trainee.parameters.values() if p.grad is not None]
        self.gradient.append(float(torch.nn.utils.get_total_norm(grads)))

    def weights(self, step: int, trainee: Trainee) -> None:
        """Root mean square of the update's output for white inputs, over layers: |D|_F / sqrt(d_out)."""
        assert isinstance(trainee, AdapterTrainee)
        self.activation.append(_output_size(trainee))


def _output_size(trainee: AdapterTrainee) -> float:
    """E |D x|^2 = |D|_F^2 for inputs of unit variance; |B A|_F^2 = <B^T B, A A^T>, no dense product."""
    total, width = 0.0, 0
    for slot in trainee.handle.slots.values():
        A, B = slot.factors["A"].detach(), slot.factors["B"].detach()
        total += slot.scaling**2 * float((_gram(B.T) * _gram(A)).sum())
        width += B.shape[0]
    return float(max(total, 0.0) / width) ** 0.5


def _gram(M: Tensor) -> Tensor:
    return M @ M.T


def run(request: Request, progress: Progress) -> Finding:
    """Train every rank under both scalings at one learning rate and compare norms and curves."""
    ranks = request.ranks_or((1, 4, 16), (1, 16, 128))
    (data,) = request.tasks("word-problems")
    bench = Bench(request, progress)
    progress.plan(2 * len(ranks), 0)
    found: dict[tuple[str, int], tuple[Trial, Norms]] = {}
    for name, scaling in SCALINGS:
        for rank in ranks:
            norms = Norms()
            target = Adapter(rank=rank, alpha=ALPHA, scaling=scaling)
            trial = bench.trial(f"{name} r={rank}", target, data, lr=bench.rate(Adapter()), watch=norms)
            found[name, rank] = (trial, norms)
    gains = {key: trial.gain for key, (trial, _) in found.items()}
    top, best = ranks[-1], max(gains.values())
    plain, stable = gains["alpha/r", top], gains["alpha/sqrt(r)", top]
    faded = best - plain > FADED * abs(best)
    word = decide(faded and stable - plain > FADED * abs(best), not faded) if len(ranks) > 1 else "undecided"
    slopes = {
        name: log_slope(list(map(float, ranks)), [found[name, r][1].gradient[0] for r in ranks])
        if len(ranks) > 1
        else None
        for name, _ in SCALINGS
    }
    return Finding(
        analysis="scale",
        claim=(
            "With alpha/r an adapter learns less the higher its rank; with alpha/sqrt(r) it does not "
            "(rsLoRA, arXiv 2312.03732)."
        ),
        setup={**bench.setup(data), "alpha": ALPHA, "ranks": list(ranks), "lr": bench.rate(Adapter())},
        word=word,
        rule=(
            f"Holds if at the highest rank alpha/r ends more than {FADED:.0%} of the best gain below the best run and "
            f"alpha/sqrt(r) ends more than {FADED:.0%} above alpha/r; does not hold if alpha/r ends within {FADED:.0%} "
            "of the best run; otherwise undecided."
        ),
        why=f"At rank {top} alpha/r gained {plain:.3f} nats, alpha/sqrt(r) {stable:.3f}, the best run {best:.3f}.",
        interpretation=(
            "The first step's gradient norm falls as 1/sqrt(r) under alpha/r and stays level under alpha/sqrt(r): that "
            f"is arithmetic, and the slopes on log axes here are {_slope(slopes['alpha/r'])} and "
            f"{_slope(slopes['alpha/sqrt(r)'])}. Adam divides by the gradient's size, so the norm alone slows nothing "
            "down; what counts is how far one step moves the layer's output, which the size of the update shows. A "
            "rank that looks useless under alpha/r may only need a higher learning rate: here all runs share one, "
            "which is the claim's own setting. In a study each rank gets its own."
        ),
        panels=_panels(found, ranks),
        tables=(
            Table(
                f"Scales at alpha = {ALPHA:g}",
                ("rank", "alpha/r", "alpha/sqrt(r)"),
                tuple((int(r["rank"]), r["alpha_over_r"], r["alpha_over_sqrt_r"]) for r in scale_table()),
            ),
            Table(
                "Runs",
                ("scaling", "rank", "first gradient norm", "size of the update at the end", "final NLL", "gain"),
                tuple(
                    (name, rank, n.gradient[0], n.activation[-1], t.nll, t.gain)
                    for (name, rank), (t, n) in found.items()
                ),
            ),
        ),
        caveats=("One seed and one learning rate for all runs.",),
        numbers={"gradient_slopes": slopes, "gains": {f"{name} r={r}": g for (name, r), g in gains.items()}},
    )


def _slope(value: float | None) -> str:
    return f"{value:+.2f}" if value is not None else "not defined for one rank"


def _panels(found: dict[tuple[str, int], tuple[Trial, Norms]], ranks: tuple[int, ...]) -> tuple[Panel, ...]:
    curves, gradients, sizes = [], [], []
    for (name, rank), (trial, norms) in found.items():
        label = f"{name}, r={rank}"
        curves += [{"step": s, "nll": v, "arm": label} for s, v in trial.curve]
        gradients.append({"rank": rank, "norm": norms.gradient[0], "arm": name})
        sizes.append({"rank": rank, "size": norms.activation[-1], "arm": name})
    by_rank = Axis("rank", "rank", log=True)
    return (
        Panel(
            "Learning curves",
            "lines",
            tuple(curves),
            Axis("step", "training step"),
            Axis("nll", "selection NLL, nats per token"),
            "arm",
        ),
        Panel(
            "Gradient norm of the first step",
            "lines",
            tuple(gradients),
            by_rank,
            Axis("norm", "gradient norm", log=True),
            "arm",
        ),
        Panel(
            "Size of the update's output after the last step",
            "lines",
            tuple(sizes),
            by_rank,
            Axis("size", "root mean square for white inputs", log=True),
            "arm",
        ),
    )
