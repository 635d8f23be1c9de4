"""Scores of a base, and of an adapter on it, on the test split: NLL with its interval, and exact match."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rankwise.adapters import Handle
from rankwise.data import Encoded
from rankwise.engine import Forward, evaluate
from rankwise.engine.evaluation.exact_match import make_quiz
from rankwise.models import Base
from rankwise.stats.single import Mean, Share, per_token, share


@dataclass(frozen=True)
class ModelScores:
    """One model on the test split; ``right`` is None when no example has a short answer, or none were asked for."""

    nll: Mean
    right: Share | None


@dataclass(frozen=True)
class Evaluated:
    """The bare base, the adapter on it, and the paired difference in NLL (adapter less base) on the same examples."""

    base: ModelScores
    adapter: ModelScores | None
    difference: Mean | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        from dataclasses import asdict

        return asdict(self)


def score(base: Base, handle: Handle | None, examples: Sequence[Encoded], answers: int) -> Evaluated:
    """Score ``base`` bare and with ``handle``.

    Args:
        answers: questions to answer by greedy decoding, at most; 0 for none.
    """
    forward = Forward(base.model)
    quiz = make_quiz(examples, base.tokenizer, answers, base.room) if answers else None

    def one() -> tuple[ModelScores, list[float], tuple[int, ...]]:
        found = evaluate(forward, examples)
        right = share(quiz.take(base)) if quiz else None
        return ModelScores(per_token(found.nll, found.targets), right), list(found.nll), found.targets

    with handle.disable() if handle else contextlib.nullcontext():
        bare, before, targets = one()
    if handle is None:
        return Evaluated(bare, None, None)
    own, after, _ = one()
    change = [a - b for a, b in zip(after, before, strict=True)]
    return Evaluated(bare, own, per_token(change, targets))
