"""The code book as a task of facts: few enough to be learned in a short run, and the loss at which none was."""

from __future__ import annotations

from rankwise.analysis.bench import Bench
from rankwise.data.code_book import CODE_NATS

FACTS = "code-book"
FACTS_PER_BATCH = 2  # facts to learn, in batches: few enough to be seen ten times in a quick run


def few_facts(bench: Bench, data: str) -> None:
    """Limit the code book, which must not be loaded yet: a run over many facts measures how fast their form is learned.

    Another data set is left as it is.
    """
    if data == FACTS:
        bench.limit(FACTS, FACTS_PER_BATCH * int(bench.request.setting("batch")))


def guessing(bench: Bench, data: str) -> float | None:
    """Return the NLL per target token of a reader who knows the form of the codes and none of them.

    None for another data set, where no such floor is known.
    """
    if data != FACTS:
        return None
    examples = bench.splits(FACTS).selection
    return CODE_NATS * len(examples) / sum(sum(example.target_mask) for example in examples)


def told(nll: float, floor: float | None) -> str:
    """Say whether full fine-tuning with this NLL learned any fact; empty where no floor is known."""
    if floor is None:
        return ""
    verdict = "facts were learned" if nll < floor else "no fact was learned"
    return f" Full fine-tuning's loss on facts is {nll:.3f} against {floor:.3f} for guessing: {verdict}."
