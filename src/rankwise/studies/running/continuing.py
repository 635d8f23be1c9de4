"""What a command means in a folder where a study was looked at before: how far it goes on, and that no error is spent
twice.
"""

from __future__ import annotations

from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.store import Ledger
from rankwise.stats.looks import Look
from rankwise.stats.verdict import ERROR
from rankwise.stats.verdict_words import SCREENED
from rankwise.studies.config import StudyConfig, parse_config
from rankwise.studies.results.file import read_results
from rankwise.studies.running.lookbook import noted


def continued(config: StudyConfig, folder: StudyFolder, progress: Progress) -> StudyConfig:
    """Return the study to conduct in ``folder``, which may hold one: a look that was taken decides how it goes on.

    A study that looks often keeps its horizon, and ``--seeds 6`` there means: go on to six. Hold the ``StudyLock``.

    Raises:
        UsageError: fewer seeds than were looked at, or a second look where one was planned.
    """
    if not folder.study_file.exists() or config.budget is not None:
        return config
    found = folder.read_config()
    done = seeds_looked_at(folder)
    if found.get("until", "seeds") == "decided":
        return _go_on(config, found, done, folder, progress)
    if "until" not in found:
        config = _as_planned_before(config, found)
    if config.until == "seeds" and done and done != config.fresh_seeds:
        raise UsageError(
            f"the study in {folder.path} planned one look, at {_seeds(len(done))}, and took it; a second one would "
            f"make its claims wrong more often than {100 * ERROR:g} % of the time. Ask again with another --out: with "
            f"--until decided looks share the error, with --seeds {len(config.fresh_seeds)} there is one at "
            f"{len(config.fresh_seeds)}"
        )
    return config


def seeds_looked_at(folder: StudyFolder) -> tuple[int, ...]:
    """Return the fresh seeds of the widest look so far; of an earlier rankwise's folder, those of its verdicts."""
    if folder.ledger_file.exists():
        with Ledger(folder.path) as ledger:
            looks = [one.seeds for one in noted(ledger)]
        if looks:
            return max(looks, key=len)
    try:
        results = read_results(folder.results_file)["results"]
    except (FileNotFoundError, UsageError):
        return ()
    judged = any(arm["fresh"] and arm["verdict"]["word"] != SCREENED for arm in results.get("arms", []))
    return tuple(results["study"]["fresh_seeds"]) if judged and not results.get("kind") else ()


def _go_on(
    config: StudyConfig, found: dict[str, object], done: tuple[int, ...], folder: StudyFolder, progress: Progress
) -> StudyConfig:
    stored = parse_config(dict(found))
    asked = config.fresh_seeds
    if len(asked) < len(done):
        raise UsageError(
            f"the study in {folder.path} was looked at with {_seeds(len(done))} already; a limit of {len(asked)} is "
            f"below that. Give {len(done)} or more, or choose another --out"
        )
    if asked[: len(done)] != done:
        raise UsageError(
            f"the study in {folder.path} was looked at with fresh seeds {', '.join(map(str, done))}; further ones come "
            "after them. Leave out fresh_seeds and --seed, or choose another --out"
        )
    by_hand = config.until == "seeds"
    seeds = max(asked, stored.fresh_seeds, key=len) if by_hand else asked
    limit = stored.limit_seconds if by_hand else config.limit_seconds
    values = {"until": "decided", "horizon": stored.horizon, "fresh_seeds": list(seeds), "limit_seconds": limit}
    values["at_least"] = min(max(stored.at_least, len(asked) if by_hand else config.at_least), len(seeds))
    if len(seeds) < len(stored.fresh_seeds):  # a limit says when to stop, and changes no run and no look
        folder.replace_config(parse_config({**found, "fresh_seeds": list(seeds), "at_least": 0}).to_dict())
    if by_hand and len(asked) > len(done):
        spent = 100 * Look(len(done), stored.horizon).spent(ERROR)
        progress.note(
            f"--seeds {len(asked)}: this study looks after every seed; of the {100 * ERROR:g} % that claims may "
            f"be wrong, {spent:.2g} % is spent at {_seeds(len(done))}, and the looks at more go on from there"
        )
    return parse_config({**config.to_dict(), **values})


def _as_planned_before(config: StudyConfig, found: dict[str, object]) -> StudyConfig:
    """Return the study by the rules of an earlier rankwise, which its folder keeps: its margin, its one look."""
    values = {**config.to_dict(), "margin_loss": None, "margin_floor": 0.0}
    if config.until == "decided":
        values |= {"until": "seeds", "fresh_seeds": found.get("fresh_seeds", [])}
    return parse_config(values)


def _seeds(count: int) -> str:
    return f"{count} fresh seed{'s' * (count != 1)}"
