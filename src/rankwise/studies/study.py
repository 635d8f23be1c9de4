"""A whole study: configuration in, folder with verdict, report and best adapter out."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from rankwise.data.columns import spelled
from rankwise.errors import RunError
from rankwise.execution.executor import row_key
from rankwise.execution.progress import Progress
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.lock import StudyLock
from rankwise.ledger.store import Ledger
from rankwise.reading import Options, read_object
from rankwise.studies.budget.budgeted import conduct_within, stored_plan, unstarted
from rankwise.studies.config import GROWABLE, ORIGINS, StudyConfig, default_settings
from rankwise.studies.recipes.write import write_recipes
from rankwise.studies.results.costs import costs
from rankwise.studies.results.document import results
from rankwise.studies.results.exact_match import exact_match
from rankwise.studies.results.faults import failed
from rankwise.studies.results.file import AGAIN, write_document
from rankwise.studies.results.modelcard import write_card
from rankwise.studies.results.provenance import provenance
from rankwise.studies.results.recommend import best_arm
from rankwise.studies.results.rules_of_thumb import rules
from rankwise.studies.results.schema import Asked, StudyDocument
from rankwise.studies.results.verdicts import judge_study
from rankwise.studies.running.conduct import Outcome, conduct
from rankwise.studies.running.continuing import continued
from rankwise.studies.running.runner import Runner, Trial
from rankwise.studies.running.setup import load_cell


def run_study(
    config: StudyConfig, out: Path, *, progress: Progress | None = None, command: str = "rankwise study"
) -> StudyDocument:
    """Run or continue a study in ``out`` and return ``{"results", "cost", "provenance"}``.

    Writes ``study.yaml``, ``ledger.sqlite``, ``runs/``, ``results.json`` and ``best/``; the report is the report
    room's. The same configuration continues a study that was cut short and ends with the same results.

    Raises:
        UsageError: a bad setting, model or data, a folder that holds another study, or a budget that is too short.
    """
    progress = progress or Progress()
    started = time.monotonic()
    folder = StudyFolder(out)
    config = stored_plan(config, folder)
    base, splits = load_cell(config, progress)
    loading = time.monotonic() - started
    with StudyLock(out):
        if unstarted(folder):
            folder.replace_config(config.to_dict())
        config = continued(config, folder, progress, lambda row: row_key(row, base, splits.fingerprint))
        if folder.open_or_create(config.to_dict(), GROWABLE, default_settings(), ORIGINS) == "extended":
            progress.note("extended: finished runs are kept, new ones are added")
        folder.clean_temporaries()
        with Ledger(out) as ledger:
            runner = Runner(config, folder, ledger, base, splits, progress)
            if config.budget is None:
                outcome = conduct(config, runner)
            else:
                outcome = conduct_within(runner, loading)
                config = runner.config
            runner.note_looks()
            judgement = judge_study(config, outcome)
            answers = exact_match(config, outcome, runner.quiz, runner.base_right())
            cost, unmeasured = costs(config, folder, ledger, runner, outcome, time.monotonic() - started)
            faults = [*failed(runner.executor), *unmeasured]
            found = results(config, base, splits, outcome, judgement, faults, cost["arms"])
            found["exact_match"], found["rules"] = answers, rules(config, outcome)
            origin = provenance(command)
            origin["asked"] = _asked(config, out)
            document: StudyDocument = {"results": found, "cost": cost, "provenance": origin}
            write_document(folder.results_file, document)
            _keep_best(folder, runner, outcome, document)
    return document


def _asked(config: StudyConfig, out: Path) -> Asked:
    """What the next command needs and the typed one may lack, where a file, a preset or a cell decides it."""
    columns = spelled(config.columns) if config.columns else None
    return {
        "folder": str(out),
        "model": config.model,
        "data": config.data,
        "columns": columns,
        "max_length": config.max_length,
        "test": config.sizes.test,
    }


def _keep_best(folder: StudyFolder, runner: Runner, outcome: Outcome, document: StudyDocument) -> None:
    """Put the best adapter into ``best/``, with a card of how good it is, and its ``recipes/`` for other tools."""
    concluded = document["results"]["verdict"]
    guess = concluded.get("guess")
    name = best_arm(outcome, concluded["recommended"] or (guess["arm"] if guess else None))
    shutil.rmtree(folder.best, ignore_errors=True)
    shutil.rmtree(folder.path / "recipes", ignore_errors=True)
    if name is None:
        return
    arm = outcome.arms[name]
    assert arm.best_lr is not None
    seed = next(seed for seed, run in arm.fresh.items() if run is not None and run.status == "done")
    source = runner.adapter(Trial(arm.arm, arm.best_lr, seed, fresh=True))
    if not (source / "adapter_config.json").exists():
        raise RunError(f"{source} is missing although its run is done; delete {folder.path} and run the study again.")
    staging = folder.path / ".best.tmp"
    shutil.rmtree(staging, ignore_errors=True)
    shutil.copytree(source, staging)
    write_card(staging, name, document, arm.arm.known_method)
    staging.rename(folder.best)
    config = folder.best / "adapter_config.json"
    targets = Options(read_object(config, cure=AGAIN), str(config)).names("target_modules", or_pattern=True)
    modules = targets if isinstance(targets, str) else list(targets)
    write_recipes(runner.config, document["results"], name, folder.path / "recipes", modules)
