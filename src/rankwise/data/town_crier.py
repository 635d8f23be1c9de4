"""A manner of speaking to learn: the code book's answers, told in the question and asked back as a town crier.

The reply holds nothing new, its code stands in the question; what has to be learned is how it is said, which is the
same for every example. So beside the code book, whose answers are new and whose form is plain, it is a task of style.
"""

from __future__ import annotations

from random import Random

from rankwise.data.code_book import CAPACITY, agent_and_code
from rankwise.data.examples import Example, ExampleSplits, Limits
from rankwise.data.styles import question_example
from rankwise.errors import UsageError

SYSTEM = "Tell the code."


def town_crier(limits: Limits, *, seed: int = 0, system: str | None = None) -> ExampleSplits:
    """Draw three splits with different agents and codes: what generalizes is the manner.

    ``system`` replaces the short default system message. Raises UsageError for a limit of None or more examples than
    there are names.
    """
    counts = {"train": limits.train, "selection": limits.selection, "test": limits.test}
    for split, count in counts.items():
        if count is None:
            raise UsageError(f"town-crier is generated, so limits.{split} must be a number, found None")
    sizes = [count or 0 for count in counts.values()]
    if sum(sizes) > CAPACITY:
        raise UsageError(f"town-crier has names for {CAPACITY:,} agents; asked for {sum(sizes):,} examples")
    rng = Random(f"town-crier {seed}")
    places = iter(rng.sample(range(CAPACITY), sum(sizes)))
    opening = SYSTEM if system is None else system
    train, selection, test = (tuple(_cry(next(places), rng, opening) for _ in range(size)) for size in sizes)
    note = "generated town crier: every reply repeats a code from its question in one fixed manner of speaking"
    return ExampleSplits(train, selection, test, (note,))


def _cry(place: int, rng: Random, system: str) -> Example:
    agent, code = agent_and_code(place, rng)
    cried = f"Oyez, oyez! Good people, lend an ear: {code} be the word of {agent}. So say I, and God save the queen!"
    return question_example(f"Agent {agent} has the code {code}. Code of agent {agent}?", cried, system)
