"""``analyze intrinsic-dim``: how few numbers in a random subspace reach 90 % of the gain? (2012.13255)"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass

from rankwise.adapters import Full
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, Word, decide
from rankwise.analysis.measures.projection import Crossing, crossing
from rankwise.analysis.request import Request
from rankwise.analysis.subspace_trainee import SubspaceTrainee
from rankwise.errors import UsageError
from rankwise.studies.progress import Progress

SHARE = 0.9
LOW = 0.01  # of the weights that may move: what counts as a low intrinsic dimension
KINDS = {"DID": False, "SAID": True}


@dataclass(frozen=True)
class Sweep:
    """Gains by dimension for one kind of projection, and where they cross 90 % of full fine-tuning's."""

    dimensions: list[int]
    gains: list[float]
    crossing: Crossing


@dataclass(frozen=True)
class Dimension:
    """The intrinsic dimension of one task: sweeps by kind, full fine-tuning's gain, and the weights that may move."""

    sweeps: dict[str, Sweep]
    full_gain: float
    size: int


def measured(bench: Bench, data: str, dimensions: tuple[int, ...], kinds: dict[str, bool]) -> Dimension:
    """Train full fine-tuning and every dimension of every kind on one data set.

    Raises:
        UsageError: full fine-tuning gained nothing, or the kinds leave no dimension to try.
    """
    names = [n for n in bench.linear if n.rsplit(".", 1)[-1] in ("q_proj", "v_proj")] or list(bench.linear)
    size = sum(math.prod(bench.base_shape(name)) for name in names)
    full = bench.trial(f"full on {data}", Full(), data)
    if full.gain <= 0:
        raise UsageError(f"full fine-tuning gained nothing on {data}, so there is no 90 % of it; give more --steps.")
    sweeps = {}
    for kind, layerwise in kinds.items():
        tried = [d for d in dimensions if d < size and (not layerwise or d > len(names))]
        if not tried:
            raise UsageError(
                f"{kind} needs dimensions above {len(names) if layerwise else 0} and below {size}; give --dimensions."
            )
        gains = []
        for d in tried:
            subspace = SubspaceTrainee(
                bench.base.model, bench.forward, names, d, seed=bench.request.seed, layerwise=layerwise
            )
            # The rate that moves the weights as far per step as full fine-tuning's does: |z| against |theta|.
            lr = bench.rate(Full()) * math.sqrt(size / d)
            with closing(subspace) as trainee:
                gains.append(bench.trial(f"{kind} d={d}", Full(), data, trainee=trainee, lr=lr).gain)
        sweeps[kind] = Sweep(tried, gains, crossing(tried, gains, full.gain, SHARE))
    return Dimension(sweeps, full.gain, size)


def run(request: Request, progress: Progress) -> Finding:
    """Sweep the dimension for both projections and report d90 with its bracket."""
    (data,) = request.tasks("word-problems")
    dimensions = request.dimensions or ((16, 128, 1024) if request.scale == "smoke" else (32, 256, 2048))
    bench = Bench(request, progress)
    progress.plan(1 + 2 * len(dimensions), 0)
    found = measured(bench, data, dimensions, KINDS)
    word, why = _judge(found)
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
        rule=(
            f"Holds if a dimension of at most {LOW:.0%} of the weights that may move reaches {SHARE:.0%} of full "
            f"fine-tuning's gain, does not hold if a dimension above {LOW:.0%} still stays below, otherwise undecided."
        ),
        why=why,
        interpretation=(
            "z is all that trains; a fixed random Fastfood projection turns it into a change of the query and value "
            "weights. DID has one z for all of them; SAID spends one number per weight matrix on how loudly it "
            "follows. A d90 far below the number of weights means that the task is a short walk in almost any "
            "direction-rich subspace, which is why a low-rank adapter can be enough. LoRA at rank 1 already has "
            "more numbers than most of the dimensions tried here."
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
            "Only query and value weights move (all linear weights where a model names them otherwise); full "
            "fine-tuning moves everything.",
            "d90 is interpolated between the dimensions tried: the bracket is what was measured.",
        ),
        numbers={
            "d90": {k: s.crossing.d90 for k, s in found.sweeps.items()},
            "bracket": {k: s.crossing.bracket for k, s in found.sweeps.items()},
            "gains": {k: dict(zip(s.dimensions, s.gains, strict=True)) for k, s in found.sweeps.items()},
            "full_gain": found.full_gain,
        },
    )


def _judge(found: Dimension) -> tuple[Word, str]:
    reached = {k: s.crossing.bracket[1] for k, s in found.sweeps.items()}
    firsts = [d for d in reached.values() if d is not None]
    holds = any(d <= LOW * found.size for d in firsts)
    above = [
        d
        for s in found.sweeps.values()
        for d, gain in zip(s.dimensions, s.gains, strict=True)
        if d > LOW * found.size and gain < SHARE * found.full_gain
    ]
    told = ", ".join(f"{k} first at {d}" if d is not None else f"{k} at none tried" for k, d in reached.items())
    return decide(holds, bool(above) and not holds), f"Of {found.size:,} weights: {told}."
