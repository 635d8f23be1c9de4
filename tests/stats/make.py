"""Small data sets for the statistics tests."""

from rankwise.stats.scores import Scores


def study(rng, *, seeds=4, examples=60, regret=0.0, seed_sd=0.02, gain=1.0, arm_seeds=None):
    """Arm, reference and base: per-token losses around 1 + regret, 1 and 1 + gain."""
    tokens = rng.integers(5, 60, examples)
    hard = rng.standard_normal(examples) * 0.3
    effect = rng.standard_normal(examples) * 0.1

    def run(level, names, by_example=0.0):
        own = rng.standard_normal((len(names), 1)) * seed_sd + rng.standard_normal((len(names), examples)) * 0.05
        return Scores((level + hard + by_example + own) * tokens, tokens, tuple(names))

    names = range(1, seeds + 1)
    return (
        run(1 + regret, names if arm_seeds is None else arm_seeds, effect),
        run(1.0, names),
        Scores.without_seed((1 + gain + hard + rng.standard_normal(examples) * 0.3) * tokens, tokens),
    )
