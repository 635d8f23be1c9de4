"""``analyze scale``: does alpha/r fade out at high rank, and does alpha/sqrt(r) keep learning alive? (2312.03732)"""

from __future__ import annotations

import math
import statistics
from typing import cast

import torch
from torch import Tensor, nn

from rankwise.adapters import Adapter
from rankwise.adapters.layers import AdaptedLayer
from rankwise.adapters.scalings import AlphaOverRank, AlphaOverSqrtRank
from rankwise.adapters.slot import Slot
from rankwise.analysis.bench import Bench, WatchedRun
from rankwise.analysis.finding import Axis, Finding, Panel, Table, Word, decide
from rankwise.analysis.measures.kernels import log_slope
from rankwise.analysis.measures.style_facts import ALPHA, scale_table
from rankwise.analysis.request import Request
from rankwise.engine import AdapterTrainee, Trainee, Watch
from rankwise.engine.batches import Batch, collate
from rankwise.execution.progress import Progress

SCALINGS = (("alpha/r", AlphaOverRank()), ("alpha/sqrt(r)", AlphaOverSqrtRank()))
FADED = 0.05  # share of the best gain at a lower rank


class Norms(Watch):
    """Gradient norm of every step, and how loud the adapter is beside its layer: |s B A x| / |W0 x| on real inputs.

    Args:
        batch: what the activations are measured on, after every ``every`` steps and the last.
    """

    def __init__(self, batch: Batch, every: int, last: int) -> None:
        self.batch, self.every, self.last = batch, every, last
        self.gradient: list[float] = []
        self.activation: list[tuple[int, float]] = []

    @property
    def first(self) -> float:
        """Gradient norm of the first step; not a number if the run ended before it."""
        return self.gradient[0] if self.gradient else math.nan

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


def fading(ranks: tuple[int, ...], gains: dict[int, float]) -> float | None:
    """Return what the highest rank gained less than the best lower one, as a share of that one's gain.

    Infinite if the highest rank diverged; None for one rank, or if no lower rank gained anything.
    """
    best = max((gains[r] for r in ranks[:-1]), default=0.0)
    return (best - gains[ranks[-1]]) / best if best > 0 else None


def average(trial: WatchedRun) -> float:
    """Return the mean gain over a run's evaluations, early ones included; minus infinity if it diverged."""
    return trial.base_nll - statistics.mean(nll for _, nll in trial.curve[1:]) if not trial.diverged else -math.inf


def judge(plain: float | None, stable: float | None) -> Word:
    """Return the word from what fades under alpha/r and under alpha/sqrt(r): see ``RULE``."""
    if plain is None or stable is None or math.isinf(plain):
        return "undecided"
    return decide(plain > FADED >= stable, plain <= FADED or stable >= plain)


RULE = (
    "Judged by the gain over the untouched model on average over a run's evaluations, as at the end all may have "
    "learned what there is. Each scaling is held against itself: it fades if its highest rank gains more than "
    f"{FADED:.0%} less than its own best lower rank. Holds if alpha/r fades and alpha/sqrt(r) does not; does not hold "
    "if alpha/r does not fade, or if alpha/sqrt(r) fades at least as much; undecided if both fade, alpha/sqrt(r) less, "
    "if no lower rank gained anything, or if alpha/r diverged at the highest rank."
)


def run(request: Request, progress: Progress) -> Finding:
    """Train every rank under both scalings at one learning rate and compare norms and curves."""
    ranks = request.ranks_or((1, 4, 16), (1, 16, 128))
    (data,) = request.tasks("word-problems")
    bench = Bench(request, progress)
    batch = collate(bench.splits(data).selection[:8], bench.device)
    progress.plan(2 * len(ranks), 0)
    found: dict[tuple[str, int], tuple[WatchedRun, Norms]] = {}
    for name, scaling in SCALINGS:
        for rank in ranks:
            norms = Norms(batch, int(request.setting("eval_every")), bench.steps)
            target = Adapter(rank=rank, alpha=ALPHA, scaling=scaling)
            label = f"{name} r={rank}"
            trial = bench.trial(
                label, target, data, lr=bench.rate(Adapter()), watch=norms, may_diverge=True, curve=True
            )
            found[name, rank] = (trial, norms)
    gains = {key: average(trial) for key, (trial, _) in found.items()}
    faded = {name: fading(ranks, {r: gains[name, r] for r in ranks}) for name, _ in SCALINGS}
    plain, stable = faded.values()
    firsts = {name: [found[name, r][1].first for r in ranks] for name, _ in SCALINGS}
    slopes = {
        name: log_slope(list(map(float, ranks)), norms)
        if len(ranks) > 1 and all(0 < n < math.inf for n in norms)
        else None
        for name, norms in firsts.items()
    }
    return Finding(
        analysis="scale",
        claim=(
            "With alpha/r an adapter learns less the higher its rank; with alpha/sqrt(r) it does not "
            "(rsLoRA, arXiv 2312.03732)."
        ),
        setup={**bench.setup(data), "alpha": ALPHA, "ranks": list(ranks), "lr": bench.rate(Adapter())},
        word=judge(plain, stable),
        rule=RULE,
        why=" ".join(_told(name, ranks, gains, share) for name, share in faded.items()),
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
                (
                    "scaling",
                    "rank",
                    "first gradient norm",
                    "adapter / layer output at the end",
                    "final NLL",
                    "gain",
                    "average gain",
                ),
                tuple(
                    (
                        name,
                        rank,
                        n.first,
                        n.activation[-1][1] if n.activation else None,
                        t.nll,
                        t.gain,
                        gains[name, rank],
                    )
                    for (name, rank), (t, n) in found.items()
                ),
            ),
        ),
        caveats=("One seed and one learning rate for all runs.",),
        numbers={
            "faded": faded,
            "gradient_slopes": slopes,
            "gains": {f"{name} r={r}": g for (name, r), g in gains.items()},
        },
    )


def _told(name: str, ranks: tuple[int, ...], gains: dict[tuple[str, int], float], share: float | None) -> str:
    listed = ", ".join("diverged" if math.isinf(g := gains[name, r]) else f"{g:.3f}" for r in ranks)
    at = f"{name} gained {listed} nats on average at rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"
    if share is None:
        return f"{at}: nothing at a lower rank to compare with."
    if math.isinf(share):
        return f"{at}."
    return f"{at}: the highest rank {abs(share):.1%} {'below' if share >= 0 else 'above'} its best lower one."


def _slope(value: float | None) -> str:
    return f"{value:+.2f}" if value is not None else "not defined here"


def _panels(found: dict[tuple[str, int], tuple[WatchedRun, Norms]], ranks: tuple[int, ...]) -> tuple[Panel, ...]:
    curves, gradients, sizes, grown = [], [], [], []
    for (name, rank), (trial, norms) in found.items():
        label = f"{name}, r={rank}"
        curves += [{"step": s, "nll": v, "arm": label} for s, v in trial.curve]
        gradients.append({"rank": rank, "norm": norms.first, "arm": name})
        sizes += [{"rank": rank, "size": v, "arm": name} for _, v in norms.activation[-1:]]
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
