"""One comparison followed from look to look, over many replicates at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from docs.simulation import BASE_LEVEL, MARGIN, NOISES, Noise, Side, draw, heavy
from rankwise.stats.contrast import Weights, combine, margin_weights
from rankwise.stats.crossed import FEWEST_SEEDS, SEED_BOUND, SEQUENTIAL_BOUND, Estimate
from rankwise.stats.looks import HORIZON
from rankwise.stats.scores import FloatArray

LOSS, FLOOR = 0.10, 0.01  # of the second contrast; the floor only moves where its boundary is
GAIN, CLOSE, REGRET = range(3)  # the contrasts: keeps the gain, loss is close, loss is the same
WEIGHTS: tuple[Weights, ...] = (margin_weights(MARGIN), (1.0, -(1.0 + LOSS), 0.0), (1.0, -1.0, 0.0))
ONE_LOOK = (3, 5, 8, 12)  # at which the plain test of one planned look is computed besides
# "equal": seeds weigh as much as the examples at the first look; "ten": ten times their standard error.
SEQUENTIAL_NOISES = NOISES | {"equal": Noise(np.sqrt(3), 0.5), "ten": Noise(10.0, 0.5)}
_CHUNK = 100_000  # numbers in an array, so that a chunk's arrays stay in a core's cache


def _gamma(rng: np.random.Generator, size: tuple[int, ...]) -> FloatArray:
    """Gamma with shape 2, moved and scaled to mean 0 and variance 1; skewness 1.41."""
    return (rng.gamma(2.0, 1.0, size) - 2) / np.sqrt(2)


EFFECTS = {"heavy": heavy, "right": _gamma, "left": lambda rng, size: -_gamma(rng, size)}


class Setting(NamedTuple):
    """What is simulated: a key of ``EFFECTS`` and of ``SEQUENTIAL_NOISES``, and sizes. ``seeds``: the last look."""

    noise: str
    examples: int
    paired: bool
    effects: str = "heavy"
    seeds: int = HORIZON

    @property
    def looks(self) -> range:
        """Seeds at each look."""
        return range(FEWEST_SEEDS, self.seeds + 1)

    def stream(self, *more: int) -> np.random.Generator:
        """Random numbers of this setting alone, whatever else is simulated."""
        places = list(SEQUENTIAL_NOISES).index(self.noise), list(EFFECTS).index(self.effects)
        return np.random.default_rng([*more, self.seeds, self.examples, self.paired, *places])


@dataclass(frozen=True)
class Walk:
    """Estimates of one arm, their truths taken off: ``at[seeds][contrast]`` as a sequential look sees them,
    ``once[seeds][contrast]`` as a single planned look would; fields are arrays over replicates. ``tuned``: what picking
    learning rates adds to the contrast of the gain, were both sides at the boundary at their best rates."""

    at: dict[int, list[Estimate]]
    once: dict[int, list[Estimate]]
    tuned: FloatArray


def walks(
    setting: Setting, replicates: int, rng: np.random.Generator, *, arms: int = 1, once: Sequence[int] = ONE_LOOK
) -> tuple[Walk, ...]:
    """Draw ``replicates`` studies of so many arms, and estimate every contrast of each at every look."""
    chunk = max(1, _CHUNK // (setting.seeds * setting.examples))
    parts = [_walks(setting, min(chunk, replicates - done), rng, arms, once) for done in range(0, replicates, chunk)]
    return tuple(_joined(own) for own in zip(*parts, strict=True))


def _walks(setting: Setting, r: int, rng: np.random.Generator, arms: int, once: Sequence[int]) -> list[Walk]:
    noise, paired = SEQUENTIAL_NOISES[setting.noise], setting.paired
    effects = EFFECTS[setting.effects]
    drawn = draw(r, setting.seeds, setting.examples, noise, paired, rng, arms=arms, effects=effects)
    reference = drawn.reference

    def estimates(arm: Side, seeds: int, bound: float) -> list[Estimate]:
        found = []
        for weights in WEIGHTS:
            truth = weights[0] * arm.level + weights[1] * reference.level + weights[2] * BASE_LEVEL
            found.append(
                combine(
                    arm.runs[:, :seeds],
                    reference.runs[:, :seeds],
                    drawn.base,
                    drawn.tokens,
                    weights=weights,
                    paired=paired,
                    seed_bound=bound,
                )
            )
            found[-1] = replace(found[-1], estimate=found[-1].estimate - truth)
        return found

    return [
        Walk(
            {seeds: estimates(arm, seeds, SEQUENTIAL_BOUND) for seeds in setting.looks},
            {seeds: estimates(arm, seeds, SEED_BOUND) for seeds in once if seeds <= setting.seeds},
            arm.off - (1 - MARGIN) * reference.off,
        )
        for arm in drawn.arms
    ]


def _joined(parts: Sequence[Walk]) -> Walk:
    def joined(of: Iterable[dict[int, list[Estimate]]]) -> dict[int, list[Estimate]]:
        all_of = list(of)
        return {n: [_glued([part[n][c] for part in all_of]) for c in range(len(WEIGHTS))] for n in all_of[0]}

    return Walk(
        joined(part.at for part in parts),
        joined(part.once for part in parts),
        np.concatenate([part.tuned for part in parts]),
    )


def _glued(parts: Sequence[Estimate]) -> Estimate:
    """One estimate of the replicates of several; they are the last axis of every field."""
    fields = ("estimate", "se", "df", "seed_var", "cross_var", "example_var", "skew")
    return replace(parts[0], **{name: np.concatenate([getattr(p, name) for p in parts], axis=-1) for name in fields})
