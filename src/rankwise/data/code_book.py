"""A code book to memorize: made-up agents with random codes, where every answer is new information.

The generated rule-like tasks can be learned through few directions; random facts cannot be compressed, so
here the number of trainable parameters is what limits an arm. Each code carries about 38 bits: eight random
digits and two words out of 64.
"""

from __future__ import annotations

from math import log
from random import Random

from rankwise.data.examples import Example, ExampleSplits, Limits
from rankwise.data.styles import question_example
from rankwise.errors import UsageError

SYSTEM = "Recall the code."
HEADS = ("Bel", "Cor", "Dra", "Fen", "Gal", "Hel", "Jor", "Kal", "Lum", "Mor", "Nev", "Or", "Pra", "Quin", "Zor")
TAILS = ("bax", "dell", "fira", "gon", "hart", "kesh", "lino", "mir", "nox", "pell", "rune", "sta", "tor", "via")
WORDS = (
    "acorn", "amber", "anchor", "apple", "arrow", "autumn", "bamboo", "basil",
    "beacon", "birch", "bronze", "butter", "canyon", "castle", "cedar", "cherry",
    "clover", "cobalt", "copper", "coral", "cotton", "desert", "eagle", "ember",
    "falcon", "feather", "fern", "forest", "garden", "ginger", "granite", "harbor",
    "hazel", "honey", "iron", "island", "ivory", "jasmine", "lantern", "lemon",
    "lily", "linen", "lotus", "maple", "marble", "meadow", "mint", "moss",
    "ocean", "olive", "onyx", "opal", "orchid", "pepper", "pine", "raven",
    "river", "saffron", "silver", "stone", "thunder", "velvet", "violet", "willow",
)  # fmt: skip
NUMBERS = range(10, 100)  # the number after an agent's name
CODE_NATS = 8 * log(10) + 2 * log(len(WORDS))  # what nobody can guess of one code
CAPACITY = len(HEADS) * len(TAILS) * len(NUMBERS)


def code_book(limits: Limits, *, seed: int = 0, system: str | None = None) -> ExampleSplits:
    """Draw ``limits.train`` facts; selection and test ask some of **the same** facts (recall, not generalization).

    Selection and test are different facts as long as there are enough. ``system`` replaces the short default
    system message. Raises UsageError for a limit of None or a book larger than there are names.
    """
    counts = {"train": limits.train, "selection": limits.selection, "test": limits.test}
    for split, count in counts.items():
        if count is None:
            raise UsageError(f"code-book is generated, so limits.{split} must be a number, found None")
    size = counts["train"] or 0
    if size > CAPACITY:
        raise UsageError(f"code-book has names for {CAPACITY:,} agents; asked for {size:,} training facts")
    rng = Random(f"code-book {seed}")
    places = rng.sample(range(CAPACITY), size)
    facts = tuple(_fact(place, rng, SYSTEM if system is None else system) for place in places)
    order = rng.sample(facts, size)
    test = tuple(order[: counts["test"]])
    selection = tuple(order[::-1][: counts["selection"]])
    notes = [
        f"generated code book: {size} random facts to memorize; selection and test ask the same facts as train, so "
        "this measures how much an adapter can store, not generalization"
    ]
    shared = len(selection) + len(test) - size
    if shared > 0:
        notes.append(f"selection and test overlap in {shared} facts because the book has only {size}")
    for split, asked, found in (("selection", counts["selection"], selection), ("test", counts["test"], test)):
        if len(found) < (asked or 0):
            notes.append(f"{split} has {len(found)} of the {asked} examples asked for: the book has {size} facts")
    return ExampleSplits(facts, selection, test, tuple(notes))


def _fact(place: int, rng: Random, system: str) -> Example:
    agent, code = agent_and_code(place, rng)
    return question_example(f"Code of agent {agent}?", code, system)


def agent_and_code(place: int, rng: Random) -> tuple[str, str]:
    """The agent at ``place`` in the list of all possible names, with a freshly drawn code."""
    place, number = divmod(place, len(NUMBERS))
    head, tail = divmod(place, len(TAILS))
    agent = f"{HEADS[head]}{TAILS[tail]}-{NUMBERS[number]}"
    code = f"{rng.randrange(10**4):04d} {rng.choice(WORDS)} {rng.randrange(10**4):04d} {rng.choice(WORDS)}"
    return agent, code
