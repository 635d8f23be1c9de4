"""Fill the tables and figures of lora-without-regret.md from the folders of the four studies.

    python docs/studies/findings.py rank=runs/a learning-rate=runs/b batch-size=runs/c placement=runs/d

The prose is in lora-without-regret.in.md; ``{{table X}}``, ``{{figure X FIGURE}}`` and ``{{setup X}}`` stand there
for what the study X measured.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def table(results: dict[str, Any]) -> str:
    """One row per arm: rates, best rate, NLL on selection at that rate, verdict."""
    rows = [
        "| arm | trained | learning rates (selection NLL) | best | test NLL | recovery | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in results["arms"]:
        rates = ", ".join(f"{rate['lr']:.2g} ({score(rate)})" for rate in arm["learning_rates"])
        found = arm["recovery"]
        recovery = (
            f"{100 * found['estimate']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]" if found else "–"
        )
        nll = f"{arm['test_nll']:.3f}" if arm["test_nll"] else "–"
        best = f"{arm['best_lr']:.2g}" if arm["best_lr"] else "–"
        cells = (arm["label"], f"{arm['trainable']:,}", rates, best, nll, recovery, arm["verdict"]["word"])
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def score(rate: dict[str, Any]) -> str:
    """The score of a run at its best step, or where it was stopped."""
    if rate["selection_nll"] is not None:
        return f"{rate['selection_nll']:.3f}"
    if rate["curve"]:
        step, nll = rate["curve"][-1]
        return f"{nll:.3f} at step {step}, {rate['status']}"
    return str(rate["status"])


def setup(document: dict[str, Any]) -> str:
    """How it was made."""
    results, made = document["results"], document["provenance"]
    cell, training, study = results["cell"], results["training"], results["study"]
    seeds = f"fresh seeds {', '.join(map(str, study['fresh_seeds']))}" if study["fresh_seeds"] else "no fresh seeds"
    data = Path(cell["data"]).name if "/" in cell["data"] else cell["data"]
    return (
        f"`{made['command']}`: {cell['model']} on {data}; {training['steps']} steps of {training['batch']} examples, "
        f"{training['schedule']} learning rate, {training['dtype']}; {cell['train']} training, {cell['selection']} "
        f"selection and {cell['test']} test examples; seed {study['seed']} chooses learning rates, {seeds}; rankwise "
        f"{made['rankwise']} at {(made['commit'] or 'unknown')[:10]}, torch {made['torch']}."
    )


def main(arguments: list[str]) -> None:
    """Write the page."""
    folders = {name: Path(path) for name, _, path in (argument.partition("=") for argument in arguments)}
    documents = {name: json.loads((path / "results.json").read_text()) for name, path in folders.items()}

    def fill(found: re.Match[str]) -> str:
        what, name, *rest = found[1].split()
        if what == "table":
            return table(documents[name]["results"])
        if what == "setup":
            return setup(documents[name])
        source = folders[name] / "figures" / f"{rest[0]}.png"
        target = HERE / f"{name}-{rest[0]}.png"
        shutil.copyfile(source, target)
        return f"![{rest[0]} of the study {name}]({target.name})"

    text = (HERE / "lora-without-regret.in.md").read_text(encoding="utf-8")
    page = re.sub(r"\{\{(.+?)\}\}", fill, text)
    (HERE / "lora-without-regret.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
