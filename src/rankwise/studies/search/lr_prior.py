"""Where a search of learning rates starts on a pretrained model: a rule of width, method and length.

- Full fine-tuning: 1e-4 at width 576 (measured on the default model and data), times (576 / width)^0.781, the exponent
  that Thinking Machines' tinker-cookbook fitted on Llama models, where 5e-5 belongs to width 2000. Ours gives 4e-5
  there and 2e-5 at width 4096, which is what people use for 7 B models. For Qwen they fitted 0.0775, so nearly 5e-5 at
  any width, which the three rates of this rule enclose from width 500 to 5,120.
- Adapters: a multiple of that. LoRA 10 ("LoRA Without Regret"), 30 in runs of at most 16 steps, where that text reports
  up to 15 and we saw more (docs/design/statistics.md#where-a-search-starts). Inits that edit the base start with large
  factors and want 1; LoRA+ names A's rate, and B's is 16 times higher, so 3.

The rule only picks three rates of the ladder 1, 3, 10, ...; bracketing, widening and the fit do the rest. A method
whose best rate is elsewhere states its own rule in its card (``rates``).
"""

from __future__ import annotations

import math

from rankwise.adapters import Adapter, Full
from rankwise.adapters.optimizers import LoRAPlus
from rankwise.methods import card
from rankwise.methods.rate_rule import Family, RateRule

WIDTH, RATE, EXPONENT = 576, 1e-4, 0.781  # the default model's hidden width and full fine-tuning's rate there
SHORT = 16  # steps
TIMES: dict[Family, int] = {"full": 1, "lora": 10, "edited": 1, "plus": 3}


def rule_of(target: Adapter | Full, method: str | None = None) -> RateRule:
    """Return the rule of ``method``'s card where it states one, else that of the target's family.

    A parametrization moves its family's rate: vectors want far more than factors, rotations less.
    """
    if method is not None and (stated := card(method).rates) is not None:
        return stated
    return RateRule(family(target), target.parametrization.rate if isinstance(target, Adapter) else 1.0)


def family(target: Adapter | Full) -> Family:
    """Return the family of target that shares a starting rate."""
    if isinstance(target, Full):
        return "full"
    if target.init.edits_base:
        return "edited"
    return "plus" if isinstance(target.optimizer, LoRAPlus) else "lora"


def center(kind: Family, width: int = WIDTH, steps: int = SHORT + 1) -> float:
    """Return the expected best rate of a family at a hidden width, on the ladder 1, 3, 10, ..."""
    times = TIMES[kind] * (3 if kind in ("lora", "plus") and steps <= SHORT else 1)
    return on_ladder(times * RATE * (WIDTH / width) ** EXPONENT)


def prior(
    kind: Family, width: int = WIDTH, steps: int = SHORT + 1, *, each_side: int = 1, times: float = 1.0
) -> tuple[float, ...]:
    """Return the center times ``times`` and ``each_side`` rates of the ladder on both sides, ascending."""
    middle = _rung(times * center(kind, width, steps))
    return tuple(_rate(rung) for rung in range(middle - each_side, middle + each_side + 1))


def on_ladder(rate: float) -> float:
    """Return the nearest of ..., 1e-4, 3e-4, 1e-3, ... in ratio."""
    return _rate(_rung(rate))


def _rung(rate: float) -> int:
    """Number the ladder's rates: 1e0 is 0, 3e0 is 1, 1e1 is 2."""
    decade = math.floor(math.log10(rate))
    near = range(2 * decade - 1, 2 * decade + 4)
    return min(near, key=lambda rung: abs(math.log10(_rate(rung) / rate)))


def _rate(rung: int) -> float:
    decade, third = divmod(rung, 2)
    return float(f"{3 if third else 1}e{decade}")
