"""What a command means in a folder where a study was looked at before: how far it goes on, and that no error is spent
twice.
"""

from __future__ import annotations

import json

from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.ledger.differences import first_difference
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.keys import canonical
from rankwise.ledger.store import Ledger
from rankwise.stats.looks import HORIZON, Look
from rankwise.stats.verdict import ERROR
from rankwise.stats.verdict_words import SCREENED
from rankwise.studies.config import GROWABLE, ORIGINS, StudyConfig, default_settings, parse_config
from rankwise.studies.presets.scales import SCALES
from rankwise.studies.results.file import read_results
from rankwise.studies.running.lookbook import KeyOf, noted


def continued(config: StudyConfig, folder: StudyFolder, progress: Progress, key_of: KeyOf) -> StudyConfig:
    """Return the study to conduct in ``folder``, which may hold one: a look that was taken decides how it goes on.

    A study that looks often keeps its horizon, and ``--seeds 6`` there means: go on to six. Hold the ``StudyLock``.

    Args:
        key_of: ledger key of a row on this base and data.

    Raises:
        UsageError: fewer seeds than were looked at, or a second look where one was planned.
    """
    if not folder.study_file.exists() or config.budget is not None:
        return config
    found = folder.read_config()
    done = seeds_looked_at(folder, key_of)
    if found.get("until", "seeds") == "decided":
        return _go_on(config, found, done, folder, progress)
    if "until" not in found:
        config = _as_planned_before(config, found)
    if config.until == "seeds" and done and done != config.fresh_seeds:
        raise UsageError(
            f"the study in {folder.path} planned one look, at {_seeds(len(done))}, and took it; a second one would "
            f"make its claims wrong more often than {100 * ERROR:g} % of the time. Choose another --out for a new "
            "study with an error of its own; with --until decided it can be continued"
        )
    return config


def seeds_looked_at(folder: StudyFolder, key_of: KeyOf) -> tuple[int, ...]:
    """Return the fresh seeds of the widest look so far; of an earlier rankwise's folder, those of its verdicts."""
    if folder.ledger_file.exists():
        with Ledger(folder.path) as ledger:
            looks = [one.seeds for one in noted(ledger, key_of)]
            if looks or any(run.label == "look" for run in ledger.runs()):
                return max(looks, key=len, default=())
    try:
        results = read_results(folder.results_file)["results"]
    except (FileNotFoundError, UsageError):
        return ()
    judged = any(arm["fresh"] and arm["verdict"]["word"] != SCREENED for arm in results.get("arms", []))
    return tuple(results["study"]["fresh_seeds"]) if judged and not results.get("kind") else ()


def _go_on(
    config: StudyConfig, found: dict[str, object], done: tuple[int, ...], folder: StudyFolder, progress: Progress
) -> StudyConfig:
    stored, by_hand = parse_config(dict(found)), config.until == "seeds"
    asked = config.fresh_seeds
    if len(asked) < len(done) and not by_hand and len(asked) == HORIZON:  # the usual limit, which nobody typed
        asked = stored.fresh_seeds
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
    if config.horizon not in (HORIZON, stored.horizon):
        raise UsageError(
            f"the study in {folder.path} has horizon = {stored.horizon}, by which its looks were planned, this one has "
            f"{config.horizon}; repeat the old setting, or choose another --out"
        )
    seeds = max(asked, stored.fresh_seeds, key=len) if by_hand else asked
    limit = None if by_hand else config.limit_seconds
    values = {"until": "decided", "horizon": stored.horizon, "fresh_seeds": list(seeds), "limit_seconds": limit}
    values["at_least"] = min(max(stored.at_least, len(asked) if by_hand else config.at_least), len(seeds))
    made = parse_config({**config.to_dict(), **values})
    if len(seeds) < len(stored.fresh_seeds):  # a limit says when to stop, and changes no run and no look
        lower = {**default_settings(), **found, "fresh_seeds": list(seeds), "at_least": values["at_least"]}
        difference = first_difference(lower, json.loads(canonical(made.to_dict())), GROWABLE, ORIGINS)
        if difference is None or difference.grown:  # else the folder refuses this study, and nothing is written
            folder.replace_config(parse_config(lower).to_dict())
    if by_hand and len(asked) > len(done):
        progress.note(
            f"--seeds {len(asked)}: this study looks after every seed; what its looks at up to {_seeds(len(done))} may "
            f"err is spent, {100 * Look(len(done), stored.horizon).spent(ERROR):.2g} % of {100 * ERROR:g} %, and "
            "further looks have the rest"
        )
    return made


def _as_planned_before(config: StudyConfig, found: dict[str, object]) -> StudyConfig:
    """Return the study by the rules of an earlier rankwise, which its folder keeps: its margin, its one look.

    Where a scale's own settings have changed since, those of the folder hold too.
    """
    values = {**config.to_dict(), "margin_loss": None, "margin_floor": 0.0}
    usual = SCALES.get(config.scale, {})
    for name in ("schedule", "sizes"):
        if values[name] == usual.get(name):
            values[name] = found.get(name, values[name])
    if config.until == "decided":
        values |= {"until": "seeds", "fresh_seeds": found.get("fresh_seeds", [])}
    return parse_config(values)


def _seeds(count: int) -> str:
    return f"{count} fresh seed{'s' * (count != 1)}"
