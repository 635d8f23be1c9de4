"""The one command to type next, chosen from what the study found."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from rankwise.report import wording
from rankwise.report.ended import Ended
from rankwise.report.typed import Typed
from rankwise.report.view import Document
from rankwise.stats.verdict_words import FALLS_SHORT, NO_VERDICT, SCREENED, UNDECIDED
from rankwise.studies.results.schema import BY_HAND, Results

ENOUGH_SEEDS = 3
USUAL_LIMIT = 12  # fresh seeds that --until decided allows by itself
ANALYZED = ("olora", "which-matrices")  # presets whose question `rankwise analyze` answers
NOT_TYPED = ("regex", "suffixes", "layers")  # placements whose name is not what --placement takes
# Options of `rankwise study` beside which the recipe can be spelled out; with others its study says what it is.
SPELLED = {"--model", "--data", "--methods", "--seeds", "--reference", "--out", "--report-to", "--cheapest-by"}
SPELLED |= {"--steps", "--batch", "--scale", "--columns", "--max-length"}
WHERE = ("--model", "--data", "--columns", "--max-length", "--reference", "--seed")  # the same question elsewhere
FACTOR = 3  # between learning rates


@dataclass(frozen=True)
class NextStep:
    """Why, and the command: paste-able into a POSIX shell."""

    why: str
    command: str


def analysis_step(results: Results, folder: str) -> NextStep | None:
    """Return the analysis that answers the question of a study's preset, if there is one and the study has its arms.

    Args:
        results: of the study, or of one of its cells.
        folder: of the whole study.
    """
    preset, methods = results["study"]["preset"], {arm["method"] for arm in results["arms"]}
    if preset not in ANALYZED or (preset == "olora" and not methods >= {"lora", "olora"}):
        return None
    command = ["rankwise", "analyze", preset, "--study", folder]
    return NextStep("Read the answer to this study's question:", shlex.join(command))


def next_step(document: Document) -> NextStep:
    """Choose the next command; the first of :data:`STEPS` that applies, else a look at environment and data."""
    ended = Ended(document)
    if step := analysis_step(ended.results, ended.whole):
        return step
    found = next((step for choose in STEPS if (step := choose(ended))), None)
    look = ["rankwise", "doctor", *_flat(ended.where())]
    return found or NextStep("Check the environment and the loss mask before training again:", shlex.join(look))


def _real(ended: Ended) -> NextStep | None:
    """After a smoke test: the same question at a real length, with the model's own methods, not arms of that scale."""
    if ended.study["scale"] != "smoke":
        return None
    surveyed = ended.results.get("survey")
    asked = surveyed["methods"] if surveyed else []
    known = {*asked, *(arm["method"] for arm in ended.arms)}
    typed = ended.typed.only(*WHERE, "--seeds", "--budget", "--cheapest-by")
    if ended.from_python:
        typed = Typed().to(**ended.where())
    methods = [name for name in (ended.typed.get("--methods") or "").split(",") if name.strip() in known]
    if methods or asked:
        typed = typed.to(methods=",".join(methods or asked))
    tiny = (ended.asked.get("model") or typed.get("--model") or "tiny") == "tiny"
    if tiny:
        typed = typed.without("--model")
    file = ended.typed.preset if ended.typed.file and not ended.from_python else ""
    if file and ended.asked.get("model") == "tiny":
        typed = typed.to(model="default")
    preset = file or ended.study["preset"]
    why = "of a real model" if tiny else "at full length"
    command = Typed(preset, (("--scale", "quick"), *typed.options))
    if file:  # its folder is named after the file, whatever the scale
        command = command.to(out=f"{ended.whole}-quick")
    return NextStep(f"This was a smoke test. Ask the same question {why}:", str(command))


def _of_the_best(ended: Ended) -> NextStep | None:
    """After a survey: a verdict on the three methods that ended lowest."""
    best = _best(ended.results) if ended.results.get("survey") else ""
    if not best:
        return None
    kept = (Typed().to(**ended.where()) if ended.from_python else ended.typed.only(*WHERE)).options
    command = Typed("methods", (("--scale", ended.study["scale"]), ("--methods", best), *kept))
    return NextStep("Ask which of the best ones matches full fine-tuning:", str(ended.elsewhere(command, "best")))


def _train(ended: Ended) -> NextStep | None:
    """The recommended recipe: spelled out where its options say all there is, else from its study."""
    chosen = next((arm for arm in ended.arms if arm["name"] == ended.results["verdict"]["recommended"]), None)
    if chosen is None:
        return None
    why = "Train the recommended recipe (raise --steps for a longer run):"
    typed, others = ended.typed, {name for name, _ in ended.typed.options} - SPELLED
    named = {name: chosen[name] for name in ("rank", "alpha", "placement")}
    options = chosen.get("options", named)
    plain = chosen["method"] != BY_HAND and set(options) <= set(named) and options.get("placement") not in NOT_TYPED
    if not plain or others or typed.file or ended.study["scale"] != "quick":
        command = ["rankwise", "train", "--from", ended.folder, "--steps", str(ended.steps)]
        return NextStep(why, shlex.join(command))
    command = ["rankwise", "train", "--method", str(chosen["method"])]
    for name in named:
        value = options.get(name)
        if value is not None and value != "":
            command += [f"--{name}", value if isinstance(value, str) else wording.plain(value)]
    command += ["--lr", wording.learning_rate(chosen["best_lr"])]
    command += ["--batch", str(chosen.get("batch") or ended.results["training"]["batch"]), "--steps", str(ended.steps)]
    return NextStep(why, shlex.join(command + _flat(ended.where())))


def _lower(ended: Ended) -> NextStep | None:
    """Every rate of the reference diverged: rates below all of them."""
    arm = ended.reference
    if arm is None or arm["best_lr"] is not None or not any(r["status"] == "diverged" for r in arm["learning_rates"]):
        return None
    tried = sorted(run["lr"] for run in arm["learning_rates"])
    grid = [_round(tried[0] / 100), _round(tried[0] / 10), *tried]
    command = ended.here(ended.typed.set(f"learning_rates.{arm['name']}", grid))
    why = "Every learning rate of the reference diverged. Look lower; the runs already done are kept:"
    return NextStep(why, str(command))


def _decide(ended: Ended) -> NextStep | None:
    """What it takes to decide the headline's arm, or the first one that says: seeds, else test examples, else both."""
    headline = ended.results["verdict"]["headline"]
    undecided = [arm for arm in ended.judged if arm["verdict"]["word"] == UNDECIDED]
    undecided.sort(key=lambda arm: arm["verdict"]["sentence"] != headline)
    if not undecided:
        return None
    arm = next((arm for arm in undecided if arm["verdict"]["needs"]), undecided[0])
    seeds, examples = needed(arm["verdict"]["needs"] or f"{ENOUGH_SEEDS} more seeds")
    have, test = arm["verdict"].get("seeds") or len(ended.seeds), int(ended.results["cell"]["test"])
    if seeds is not None and ended.looks_often:
        why = f"Go on to the fresh seeds it would take{_minutes(ended, seeds)}; the runs already done are kept:"
        return NextStep(why, str(ended.here(_allowed(ended, have + seeds))))
    if seeds is not None:
        why = f"Its one look is taken. A new study, with an error of its own, can go on{_minutes(ended, have + seeds)}:"
        return NextStep(why, str(ended.elsewhere(_deciding(ended, have + seeds), "decided")))
    more = test + examples if examples is not None else 2 * test
    if examples is not None and int(ended.asked.get("test", test)) <= test:
        command = ended.typed.set("sizes.test", more)
        return NextStep(
            "Ask again with more test examples, a new study with an error of its own:",
            str(ended.elsewhere(command, "more")),
        )
    both = _deciding(ended, 2 * max(have, ENOUGH_SEEDS)).set("sizes.test", more)
    return NextStep(
        "Ask again with more of both, a new study with an error of its own:", str(ended.elsewhere(both, "more"))
    )


def _allowed(ended: Ended, count: int) -> Typed:
    """The command with looks after every seed and ``count`` of them allowed, those there are among them."""
    typed = ended.typed.without("--seeds", "--until", "--limit", "--set fresh_seeds", "--set until")
    first = int(typed.get("--seed") or 0) + 1
    if ended.seeds == list(range(first, first + len(ended.seeds))):
        return typed.to(limit=count)
    more = range(max(*ended.seeds, ended.study["seed"]) + 1, 10**9)
    return typed.to(until="decided").set("fresh_seeds", [*ended.seeds, *more[: count - len(ended.seeds)]])


def _deciding(ended: Ended, seeds: int) -> Typed:
    """The command with looks after every seed, and ``seeds`` allowed where the usual limit is lower."""
    command = ended.typed.without("--seeds", "--limit", "--set fresh_seeds", "--set at_least").to(until="decided")
    return command.to(limit=seeds) if seeds > USUAL_LIMIT else command


def _minutes(ended: Ended, seeds: int) -> str:
    """What so many seeds take, as a clause; empty where it is not known."""
    each = ended.seed_seconds
    return f", about {wording.duration(each * seeds)}" if each else ""


def _judge(ended: Ended) -> NextStep | None:
    """Nothing was judged: fresh seeds."""
    if not ended.trained or ended.words != {SCREENED}:
        return None
    count = max(len(ended.seeds) + 3, ENOUGH_SEEDS) if ended.seeds else ENOUGH_SEEDS
    command = _allowed(ended, count) if ended.looks_often and ended.seeds else _seeded(ended, count)
    return NextStep("Add fresh seeds; the runs already done are kept:", str(ended.here(command)))


def _wider(ended: Ended) -> NextStep | None:
    """There is no verdict where a best rate is at the edge of its grid: rates beyond it."""
    unsure = [arm for arm in ended.judged if arm["verdict"]["word"] == NO_VERDICT]
    command = ended.typed
    for arm in [arm for arm in (ended.reference, *unsure) if unsure and arm and not arm["bracketed"]]:
        tried = sorted(run["lr"] for run in arm["learning_rates"])
        low, high = tried[0], tried[-1]
        below = [_round(low / FACTOR**2), _round(low / FACTOR)] if arm["best_lr"] == low else []
        above = [_round(high * FACTOR), _round(high * FACTOR**2)] if arm["best_lr"] == high else []
        if below or above:
            command = command.set(f"learning_rates.{arm['name']}", [*below, *tried, *above])
    if command == ended.typed:
        return None
    why = "Look beyond the edge of the grid; the runs already done are kept:"
    return NextStep(why, str(ended.here(command)))


def _gain_nothing(ended: Ended) -> NextStep | None:
    """The reference did not clearly improve: seeds where there are few, else a longer study."""
    judged = [arm for arm in ended.judged if arm["verdict"]["word"] == NO_VERDICT and arm["test_nll"] is not None]
    if not judged:
        return None
    if len(ended.seeds) < ENOUGH_SEEDS:
        return NextStep("Ask again with more seeds:", str(ended.elsewhere(_deciding(ended, ENOUGH_SEEDS), "decided")))
    return NextStep("Train longer, so that the reference learns something:", str(_longer(ended)))


def _ladder(ended: Ended) -> NextStep | None:
    """Nothing matched: the ladder of ranks; after that, longer training."""
    if FALLS_SHORT not in ended.words:
        return None
    if ended.study["preset"] != "rank":
        drop = ("--methods", "--out", "--report-to", "--set arms", "--set methods", "--set learning_rates")
        command = ended.typed.without(*drop)
        if ended.typed.file:
            size = {"steps": ended.steps, "batch": ended.results["training"]["batch"]}
            command = Typed().to(**ended.where(), **size)
        command = Typed("rank", (("--scale", ended.study["scale"]), *command.without("--scale").options))
        return NextStep("No arm matched. See how the gap closes with rank:", str(command))
    if ended.typed.get("--methods") and ended.typed.get("--reference") != "best-rank":
        command = ended.here(ended.typed.without("--methods"))
        return NextStep("No arm matched. See the whole ladder of ranks; the runs already done are kept:", str(command))
    return NextStep("No rank matched. See whether longer training closes the gap:", str(_longer(ended)))


STEPS: tuple[Callable[[Ended], NextStep | None], ...] = (
    _real,
    _of_the_best,
    _train,
    _lower,
    _decide,
    _judge,
    _wider,
    _gain_nothing,
    _ladder,
)


def needed(text: str) -> tuple[int | None, int | None]:
    """Read how many more seeds and test examples a verdict says it takes (:class:`rankwise.stats.planning.Needs`)."""
    seeds, examples = (re.search(rf"(\d+) more {kind}", text) for kind in ("seed", "test example"))
    return (int(seeds[1]) if seeds else None), (int(examples[1]) if examples else None)


def _seeded(ended: Ended, count: int) -> Typed:
    """The command with ``count`` fresh seeds, those there are among them."""
    typed = ended.typed.without("--seeds", "--set fresh_seeds")
    first = int(typed.get("--seed") or 0) + 1
    usual = list(range(first, first + count))
    if set(ended.seeds) <= set(usual) and ended.study["seed"] not in usual:
        return typed.to(seeds=count)
    new = (seed for seed in range(max([*ended.seeds, ended.study["seed"]]) + 1, 10**9))
    return typed.set("fresh_seeds", [*ended.seeds, *(next(new) for _ in range(count - len(ended.seeds)))])


def _longer(ended: Ended) -> Typed:
    return ended.elsewhere(ended.typed.without("--set steps").to(steps=2 * ended.steps), "longer")


def _best(results: Results) -> str:
    """The three methods of a survey that ended lowest."""
    methods = {arm["name"]: arm["method"] for arm in results["arms"] if not arm["reference"]}
    ends = [(row["nll"], row["name"]) for row in results["survey"]["arms"] if row["nll"] is not None]
    lowest = sorted((end for end in ends if end[1] in methods), key=lambda end: end[0])
    return ",".join(methods[name] for _, name in lowest[:3])


def _round(rate: float) -> float:
    return float(f"{rate:.0e}")


def _flat(options: dict[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
