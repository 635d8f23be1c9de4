"""``analyze scale``: does alpha/r fade out at high rank, and does alpha/sqrt(r) keep learning alive? (2312.03732)"""

from __future__ import annotations

import statistics
from typing import cast

import torch
from torch import Tensor, nn

from rankwise.adapters import Adapter
from rankwise.adapters.layers import AdaptedLayer
from rankwise.adapters.scalings import AlphaOverRank, AlphaOverSqrtRank
from rankwise.adapters.slot import Slot
from rankwise.analysis.bench import Bench, Trial
from rankwise.analysis.finding import Axis, Finding, Panel, Table, decide
from rankwise.analysis.measures.kernels import log_slope
from rankwise.analysis.measures.style_facts import ALPHA, scale_table
from rankwise.analysis.request import Request
from rankwise.engine import AdapterTrainee, Trainee, Watch
from rankwise.engine.batches import Batch, collate
from rankwise.studies.progress import Progress

SCALINGS = (("alpha/r", AlphaOverRank()), ("alpha/sqrt(r)", AlphaOverSqrtRank()))
FADED = 0.05  # share of the best gain


class Norms(Watch):
    """Gradient norm of every step, and how loud the adapter is beside its layer: |s B A x| / |W0 x| on real inputs.

    Args:
        batch: what the activations are measured on, after every ``every`` steps and the last.
    """

    def __init__(self, batch: Batch, every: int, last: int) -> None:
        self.batch, self.every, self.last = batch, every, last
        self.gradient: list[float] = []
        self.activation: list[tuple[int, float]] = []

    def gradients(self, step: int, trainee: Trainee) -> None:
        """Norm over all trained tensors, before clipping."""
        grads = [p.grad for p in trainee.parameters.values() if p.grad is not None]
        self.gradient.append(float(torch.nn.utils.get_total_norm(grads)))

    def weights(self, step: int, trainee: Trainee) -> None:
        """Root mean square over layers of the ratio of norms."""
        if step % self.every and step != self.last:
            return
        assert isinstance(trainee, AdapterTrainee)
        ratios: list[float] = []

        def measure(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            # The engine adds the update inside the layer's own product, so it is computed here once more.
            assert isinstance(layer, AdaptedLayer)
            base = layer.untouched(inputs[0])
            update = layer.update(cast(Slot, layer.adapters[trainee.handle.name]), inputs[0], base)
            own, whole = (float(torch.linalg.vector_norm(t.float())) for t in (update, base))
            ratios.append(own / whole)

        hooks = [layer.register_forward_hook(measure) for layer in trainee.handle.layers.values()]
        try:
            with torch.no_grad():
                trainee.forward.nll_many([(trainee.name, self.batch)])
        finally:
            for hook in hooks:
                hook.remove()
        self.activation.append((step, statistics.mean(r * r for r in ratios) ** 0.5))


def run(request: Request, progress: Progress) -> Finding:
    """Train every rank under both scalings at one learning rate and compare norms and curves."""
    ranks = request.ranks_or((1, 4, 16), (1, 16, 128))
    (data,) = request.tasks("word-problems")
    bench = Bench(request, progress)
    batch = collate(bench.splits(data).selection[:8], bench.device)
    progress.plan(2 * len(ranks), 0)
    found: dict[tuple[str, int], tuple[Trial, Norms]] = {}
    for name, scaling in SCALINGS:
        for rank in ranks:
            norms = Norms(batch, int(request.setting("eval_every")), bench.steps)
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
            "down; what counts is how far the steps move the layer's output, which the activations show. A "
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
                ("scaling", "rank", "first gradient norm", "adapter / layer output at the end", "final NLL", "gain"),
                tuple(
                    (name, rank, n.gradient[0], n.activation[-1][1], t.nll, t.gain)
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
    curves, gradients, sizes, grown = [], [], [], []
    for (name, rank), (trial, norms) in found.items():
        label = f"{name}, r={rank}"
        curves += [{"step": s, "nll": v, "arm": label} for s, v in trial.curve]
        gradients.append({"rank": rank, "norm": norms.gradient[0], "arm": name})
        sizes.append({"rank": rank, "size": norms.activation[-1][1], "arm": name})
        grown += [{"step": s, "size": v, "arm": label} for s, v in norms.activation]
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
            "Activations: adapter's output over the layer's, after the last step",
            "lines",
            tuple(sizes),
            by_rank,
            Axis("size", "ratio of norms", log=True),
            "arm",
        ),
        Panel(
            "The same while training",
            "lines",
            tuple(grown),
            Axis("step", "training step"),
            Axis("size", "ratio of norms", log=True),
            "arm",
        ),
    )
