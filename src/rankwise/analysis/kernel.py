"""``analyze kernel``: does LoRA see the kernel of full fine-tuning, and is training linear in it? (2210.05643)"""

from __future__ import annotations

import statistics

import torch
from scipy.stats import spearmanr
from torch import Tensor

from rankwise.adapters import Adapter
from rankwise.adapters.placements import Regex
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Table, Word, decide
from rankwise.analysis.gradients import example_gradients
from rankwise.analysis.measures.kernels import (
    asymmetric_sign_kernel,
    log_slope,
    lora_kernel,
    min_rank,
    relative_error,
    sign_kernel,
    tangent_kernel,
)
from rankwise.analysis.request import Request
from rankwise.analysis.updates import spread
from rankwise.engine import Trainee, Watch
from rankwise.engine.batches import collate
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress

EXAMPLES = 32
DRAWS = 16
NEAR, FAR = 0.15, 0.3
LINEAR, NOT_LINEAR = 0.25, 0.5
RULE = (
    "Decided on what can vary, the run: how far the change of each example's loss is from the first-order prediction, "
    f"as |predicted - found| / |found| over the examples. Holds up to {LINEAR}, does not hold above {NOT_LINEAR}; "
    "otherwise undecided. The slope of log error on log rank is "
    "arithmetic, as the mean squared error is exactly C / r for a Gaussian A; it checks the code, and a slope that is "
    f"not -0.5 within {NEAR} (undecided) or {FAR} (does not hold) would show a fault."
)


def judge(off: float, slope: float) -> Word:
    """Return the word from the linear prediction's relative error and the kernel error's slope: see ``RULE``."""
    bent = abs(slope + 0.5)
    return decide(off <= LINEAR and bent <= NEAR, off > NOT_LINEAR or bent > FAR)


def run(request: Request, progress: Progress) -> Finding:
    """Kernel at the start from per-example gradients; LoRA's error against rank; linear prediction of a real run."""
    ranks = request.ranks_or((1, 4, 16), (1, 4, 16, 64, 256))
    if len(ranks) < 2:
        raise UsageError("kernel fits a slope over ranks; give at least two in --ranks.")
    (data,) = request.tasks("word-problems")
    bench = Bench(request, progress)
    pairs = [n for n in bench.linear if n.rsplit(".", 1)[-1] in ("q_proj", "v_proj")]
    names = spread(pairs or bench.linear, 3)
    examples = bench.splits(data).train[:EXAMPLES]
    progress.note(f"gradients of {len(examples)} examples in {len(names)} modules")
    before, gradients = example_gradients(bench, names, examples)
    stacked = [gradients[name] for name in names]
    K = tangent_kernel(stacked)
    errors = []
    for rank in ranks:
        draws = [
            relative_error(lora_kernel(stacked, rank, torch.Generator().manual_seed(1000 * rank + k)), K)
            for k in range(DRAWS)
        ]
        # Root mean square: the variance is what falls as 1/r; a mean of norms is flatter at small ranks.
        errors.append(statistics.mean(e * e for e in draws) ** 0.5)
    slope = log_slope([float(r) for r in ranks], errors)
    watch = _After(bench, data)
    target = Adapter(rank=min(16, max(ranks)), placement=Regex("|".join(f"^{n.replace('.', '[.]')}$" for n in names)))
    progress.plan(1, 0)
    trial = bench.trial("LoRA on the same modules", target, data, look=names, watch=watch)
    predicted = sum((gradients[name] * trial.last[name].matrix).sum((1, 2)) for name in names)
    assert isinstance(predicted, Tensor)
    actual = watch.losses - before
    off = float(torch.linalg.vector_norm(predicted - actual) / torch.linalg.vector_norm(actual))
    order = float(spearmanr(predicted, actual).statistic)
    # A step on all examples lowers f(x') in proportion to its column's sum: a direction, known before any training.
    blind = {
        label: float(spearmanr(-kernel.sum(0), actual).statistic)
        for label, kernel in (
            ("gradient descent", K),
            ("sign descent (SignGD)", sign_kernel(stacked)),
            ("sign descent, sign on one side (A-SignGD)", asymmetric_sign_kernel(stacked)),
        )
    }
    _, later = example_gradients(bench, names, examples, {name: trial.last[name].matrix for name in names})
    moved = relative_error(tangent_kernel([later[name] for name in names]), K)
    ends = (min(predicted.min().item(), actual.min().item()), max(predicted.max().item(), actual.max().item()))
    samples = request.samples or len(bench.splits(data).train)
    outputs = request.outputs or 1
    least = min_rank(outputs, samples)
    return Finding(
        analysis="kernel",
        claim=(
            "Fine-tuning stays where its gradients at the start describe it, and there LoRA's tangent kernel is that "
            "of full fine-tuning up to an error that falls as 1/sqrt(r) (Malladi et al., arXiv 2210.05643)."
        ),
        setup={**bench.setup(data), "modules": names, "examples": len(examples), "draws of A": DRAWS},
        word=judge(off, slope),
        rule=RULE,
        why=(
            f"The first-order prediction is off by {off:.0%} of the change found over {len(examples)} examples "
            f"(mean change {float(predicted.mean()):+.2f} predicted, {float(actual.mean()):+.2f} found; rank "
            f"correlation {order:+.2f}); the slope is {slope:+.3f} over ranks {ranks[0]} to {ranks[-1]}."
        ),
        interpretation=(
            "The output is each example's loss per token; the kernel's entries are inner products of its gradients. "
            f"LoRA sees the input side through a random A, so it keeps these up to 1/sqrt(r). The second figure asks "
            "whether training stays where the kernel describes it: the change of each example's loss in a real LoRA "
            "run against the first-order prediction from the gradients at the start; on the thin line they are equal. "
            "A loss that is bounded below by zero cannot fall as far as a straight line says when training goes well. "
            f"The kernel itself moved by {moved:.0%} of its size during that run: the view is exact where it stays. "
            f"Theory of spurious minima (arXiv 2402.11867) asks for r(r+1)/2 > K N: rank {least} for K = {outputs} "
            f"outputs and N = {samples} samples; it is sufficient, far from necessary."
        ),
        panels=(
            Panel(
                "Error of LoRA's kernel against rank",
                "lines",
                tuple(
                    {"rank": r, "error": e, "arm": label}
                    for label, values in (
                        ("measured", errors),
                        ("1/sqrt(r) from the first", [errors[0] * (ranks[0] / r) ** 0.5 for r in ranks]),
                    )
                    for r, e in zip(ranks, values, strict=True)
                ),
                Axis("rank", "rank", log=True),
                Axis("error", "relative Frobenius error", log=True),
                "arm",
            ),
            Panel(
                "Change of each example's loss: predicted by the kernel's gradients and found",
                "points",
                tuple({"predicted": p, "actual": a} for p, a in zip(predicted.tolist(), actual.tolist(), strict=True)),
                Axis("predicted", "first-order prediction, nats per token"),
                Axis("actual", "found after training, nats per token"),
                path=tuple({"predicted": v, "actual": v} for v in ends),
            ),
        ),
        tables=(
            Table("Error of LoRA's kernel", ("rank", "relative error"), tuple(zip(ranks, errors, strict=True))),
            Table(
                "Change of each example's loss: what a kernel at the start says without the run, and what was found",
                ("kernel of one step on these examples", "rank correlation"),
                tuple(blind.items()),
            ),
        ),
        caveats=(
            "A few modules and examples: the kernel is that of these modules alone.",
            "The run sees more examples than the kernels do, and Adam is sign descent only in its first steps.",
        ),
        numbers={"slope": slope, "linear_error": off, "rank_correlation": order, "kernel_change": moved, "blind": blind}
        | {"min_rank": least},
    )


class _After(Watch):
    """The losses per token of the same examples after the last step."""

    def __init__(self, bench: Bench, data: str) -> None:
        self.bench, self.data = bench, data
        self.losses = torch.empty(0)

    def weights(self, step: int, trainee: Trainee) -> None:
        """Score when the run is over."""
        if step == self.bench.steps:
            examples = self.bench.splits(self.data).train[:EXAMPLES]
            with torch.no_grad():
                parts = [trainee.forward.nll_many([(trainee.name, collate([e], self.bench.device))]) for e in examples]
            self.losses = torch.stack([nll.mean() for (nll,) in parts])
