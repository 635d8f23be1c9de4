"""What a stream has to keep to go on and to answer: pairs, memories of events, centroids, examples."""

from __future__ import annotations

from collections.abc import Mapping

from rankwise.continual.chain import Chain
from rankwise.continual.strategies.base import MERGED
from rankwise.engine import State
from rankwise.studies.results.schema import Growth

_MEMORY = "/state/"  # in the names of an event's tensors; its random stream is none of its memory


def growth(chain: Chain, sizes: Mapping[str, int]) -> list[Growth]:
    """Return, after each task, how much is kept.

    ``numbers`` counts the entries of all pairs, ``memory`` those of the events' tensors (EWC's Fisher information and
    old values, Online-LoRA's Omega), ``centroids`` the router's; ``examples`` counts stored training examples, and
    ``rank`` is what the pairs make per module.

    Args:
        sizes: training examples by task.
    """
    apart = chain.strategy.answers != "one"
    found: list[Growth] = []
    numbers = rank = 0
    for place, name in enumerate(chain.order, 1):
        state = chain.states[name]
        numbers = (numbers if apart else 0) + state.numbers
        rank = (rank if apart else 0) + _rank(state)
        learned = chain.order[:place]
        regions = [chain.regions[one] for one in learned if one in chain.regions]
        found.append(
            {
                "task": name,
                "numbers": numbers,
                "memory": sum(v.numel() for k, v in state.events.items() if _MEMORY in k),
                "centroids": sum(region.centroids.numel() + 1 for region in regions),
                "examples": chain.strategy.stored([sizes[one] for one in learned]),
                "rank": rank,
            }
        )
    return found


def _rank(state: State) -> int:
    trained = [v.shape[0] for k, v in state.tensors.items() if k.endswith(".A") and not k.startswith(MERGED)]
    frozen = [v.shape[0] for k, v in state.tensors.items() if k.endswith(".A") and k.startswith(MERGED)]
    return max(trained) + max(frozen, default=0)
