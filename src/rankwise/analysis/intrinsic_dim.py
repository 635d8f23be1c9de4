"""``analyze intrinsic-dim``: how few numbers in a random subspace reach 90 % of the gain? (2012.13255)"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass

from rankwise.adapters import Full
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, Word, decide
from rankwise.analysis.measures.projection import Crossing, crossing
from rankwise.analysis.part_trainee import PartTrainee
from rankwise.analysis.request import Request
from rankwise.analysis.subspace_trainee import SubspaceTrainee
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress

SHARE = 0.9
NEAR = 0.02  # a share this far from 90 % decides nothing: one seed
LOW = 0.01  # of the weights that may move: what counts as a low intrinsic dimension, and is tried itself
BEYOND = 0.02  # of them: the largest dimension tried, for d90's bracket
KINDS = {"DID": False, "SAID": True}
RULE = (
    f"The reference is full fine-tuning of the same weights. Holds if a dimension of at most {LOW:.0%} of them reaches "
    f"more than {SHARE + NEAR:.0%} of its gain; does not hold if none comes to {SHARE - NEAR:.0%} and {LOW:.0%} itself "
    f"was tried; undecided in between, if only dimensions well below {LOW:.0%} were tried, or if full fine-tuning "
    "gained nothing."
)


@dataclass(frozen=True)
class Sweep:
    """Gains by dimension for one kind of projection, and where they cross 90 % of full fine-tuning's."""

    dimensions: list[int]
    gains: list[float]
    crossing: Crossing


@dataclass(frozen=True)
class Dimension:
    """The intrinsic dimension of one task: sweeps by kind, full fine-tuning's gain, and the weights that may move.

    Where full fine-tuning gained nothing the sweeps are empty: there is no 90 % of it to look for.
    """

    sweeps: dict[str, Sweep]
    full_gain: float
    size: int


def usual_dimensions(small: int, size: int) -> tuple[int, ...]:
    """Return the dimensions tried for ``size`` weights: a small one, the limit of the claim, and one beyond it."""
    return tuple(sorted({small, max(math.floor(LOW * size), 1), math.ceil(BEYOND * size)}))


def moving(bench: Bench) -> tuple[list[str], int]:
    """Return the modules whose weights may move (query and value, or all linear ones) and their number of weights."""
    names = [n for n in bench.linear if n.rsplit(".", 1)[-1] in ("q_proj", "v_proj")] or list(bench.linear)
    return names, sum(math.prod(bench.base_shape(name)) for name in names)


def measured(bench: Bench, data: str, dimensions: tuple[int, ...], kinds: dict[str, bool]) -> Dimension:
    """Train full fine-tuning of the weights that may move, and every dimension of every kind, on one data set.

    Raises:
        UsageError: the kinds leave no dimension to try.
    """
    names, size = moving(bench)
    tried = {k: [d for d in dimensions if d < size and (not layer or d > len(names))] for k, layer in kinds.items()}
    for kind, layerwise in kinds.items():
        if not tried[kind]:
            raise UsageError(
                f"{kind} needs dimensions above {len(names) if layerwise else 0} and below {size}; give --dimensions."
            )
    with closing(PartTrainee(bench.base.model, bench.forward, names)) as whole:
        full = bench.trial(f"full, same weights, on {data}", Full(), data, trainee=whole, may_diverge=True)
    if full.gain <= 0:
        return Dimension({kind: Sweep([], [], Crossing(None, (None, None))) for kind in kinds}, full.gain, size)
    sweeps = {}
    for kind, layerwise in kinds.items():
        gains = []
        for d in tried[kind]:
            subspace = SubspaceTrainee(
                bench.base.model, bench.forward, names, d, seed=bench.request.seed, layerwise=layerwise
            )
            # The rate that moves the weights as far per step as full fine-tuning's does: |z| against |theta|.
            lr = bench.rate(Full()) * math.sqrt(size / d)
            with closing(subspace) as trainee:
                label = f"{kind} d={d}"
                gains.append(bench.trial(label, Full(), data, trainee=trainee, lr=lr, may_diverge=True).gain)
        sweeps[kind] = Sweep(tried[kind], gains, crossing(tried[kind], gains, full.gain, SHARE))
    return Dimension(sweeps, full.gain, size)


def run(request: Request, progress: Progress) -> Finding:
    """Sweep the dimension for both projections and report d90 with its bracket."""
    (data,) = request.tasks("word-problems")
    bench = Bench(request, progress)
    small = 128 if request.scale == "smoke" else 2048
    dimensions = request.dimensions or usual_dimensions(small, moving(bench)[1])
    progress.plan(1 + 2 * len(dimensions), 0)
    found = measured(bench, data, dimensions, KINDS)
    word, why = judge(found)
    rows: list[Row] = [
        {"d": d, "share": gain / found.full_gain, "arm": kind}
        for kind, sweep in found.sweeps.items()
        for d, gain in zip(sweep.dimensions, sweep.gains, strict=True)
    ]
    return Finding(
        analysis="intrinsic-dim",
        claim=(
            "Fine-tuning a pretrained model has a low intrinsic dimension: few numbers in a random subspace reach 90 % "
            "of what full fine-tuning does (Aghajanyan et al., arXiv 2012.13255)."
        ),
        setup={
            **bench.setup(data),
            "dimensions": list(dimensions),
            "weights that may move": found.size,
            "learning rate": "full fine-tuning's times sqrt(D / d)",
        },
        word=word,
        rule=RULE,
        why=why,
        interpretation=(
            "z is all that trains; a fixed random Fastfood projection turns it into a change of the query and value "
            "weights. DID has one z for all of them; SAID spends one number per weight matrix on how loudly it "
            "follows. A d90 far below the number of weights means that the task is a short walk in almost any "
            "direction-rich subspace, which is why a low-rank adapter can be enough; one near it, that the task needs "
            "nearly all of them, or that few steps do not find the walk."
        ),
        panels=(
            Panel(
                "Share of full fine-tuning's gain against the dimension",
                "lines",
                tuple(rows),
                Axis("d", "trained numbers d", log=True),
                Axis("share", "share of the gain"),
                "arm",
                rule=(SHARE, f"{SHARE:.0%} of full fine-tuning"),
            ),
        ),
        tables=(
            Table(
                "d90",
                ("projection", "d90", "last below", "first at or above"),
                tuple((k, s.crossing.d90, *s.crossing.bracket) for k, s in found.sweeps.items()),
            ),
        ),
        caveats=(
            "The gain in NLL stands for the paper's task metric; d90 depends on the number of steps and on the rate.",
            "Only query and value weights move (all linear weights where a model names them otherwise), in the "
            "subspaces and in full fine-tuning alike; the paper's subspaces cover every parameter.",
            "Each dimension has one learning rate, by the rule above; with a better one it may reach more.",
            "d90 is interpolated between the dimensions tried: the bracket is what was measured.",
        ),
        numbers={
            "d90": {k: s.crossing.d90 for k, s in found.sweeps.items()},
            "bracket": {k: s.crossing.bracket for k, s in found.sweeps.items()},
            "gains": {k: dict(zip(s.dimensions, s.gains, strict=True)) for k, s in found.sweeps.items()},
            "full_gain": found.full_gain,
        },
    )


def judge(found: Dimension) -> tuple[Word, str]:
    """Return the word by ``RULE``, and d90 with its bracket for every kind."""
    if found.full_gain <= 0:
        return "undecided", "Full fine-tuning of these weights gained nothing, so there is no 90 % of it."
    limit = math.floor(LOW * found.size)
    runs = [(d, g / found.full_gain) for s in found.sweeps.values() for d, g in zip(s.dimensions, s.gains, strict=True)]
    best = max((share for d, share in runs if d <= limit), default=-math.inf)
    holds = best > SHARE + NEAR
    fails = best < SHARE - NEAR and any(d >= limit and share < SHARE - NEAR for d, share in runs)
    told = "; ".join(f"{kind} {_bracket(sweep.crossing)}" for kind, sweep in found.sweeps.items())
    return decide(holds, fails), f"d90 of {found.size:,} weights ({LOW:.0%}: {limit:,.0f}): {told}."


def _bracket(crossed: Crossing) -> str:
    below, first = crossed.bracket
    if first is None:
        return f"above {below:,}, the largest tried"
    if below is None:
        return f"at most {first:,}, the smallest tried"
    return f"about {crossed.d90:,.0f}, between {below:,} (below) and {first:,} (reached)"
