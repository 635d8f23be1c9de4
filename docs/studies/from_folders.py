"""Write pages of docs/studies from the folders of finished studies.

    python docs/studies/from_folders.py rank=runs/a learning-rate=runs/b batch-size=runs/c placement=runs/d
    python docs/studies/from_folders.py orthogonalization=runs/orthogonalization-quick stream=runs/stream-o-lora-quick
    python docs/studies/from_folders.py methods=runs/methods-quick dynamics=runs/dynamics

The first fills lora-without-regret.md: the prose is in lora-without-regret.in.md, where ``{{table X}}``,
``{{figure X FIGURE}}`` and ``{{setup X}}`` stand for what the study X measured. The others turn
the studies' own results into Markdown, one page each.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from rankwise.report.kinds import OTHER
from rankwise.report.simple_page import markdown

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
    command = re.sub(r" --out \S+", "", made["command"]).replace("/work/shared/", "../shared/")
    return (
        f"`{command}`: {cell['model']} on {data}; {training['steps']} steps of {training['batch']} examples, "
        f"{training['schedule']} learning rate, {training['dtype']}; {cell['train']} training, {cell['selection']} "
        f"selection and {cell['test']} test examples; seed {study['seed']} chooses learning rates, {seeds}; rankwise "
        f"{made['rankwise']} at {(made['commit'] or 'unknown')[:10]}, torch {made['torch']}."
    )


def main(arguments: list[str]) -> None:
    """Write the pages."""
    folders = {name: Path(path) for name, _, path in (argument.partition("=") for argument in arguments)}
    documents = {name: json.loads((path / "results.json").read_text()) for name, path in folders.items()}
    whole = [name for name, document in documents.items() if document["results"].get("kind") in OTHER]
    for name in whole:
        write_page(name, documents[name], folders[name])
    surveys = [name for name, document in documents.items() if document["results"].get("survey")]
    for name in surveys:
        survey(name, documents[name], folders[name])
    if len(documents) > len(whole) + len(surveys):
        four_findings(documents, folders)


def write_page(name: str, document: dict[str, Any], folder: Path) -> None:
    """Write ``NAME.md`` and its figures."""
    kind = OTHER[document["results"]["kind"]]
    kind.write(document, folder)
    pictures = {}
    (HERE / "figures").mkdir(exist_ok=True)
    for source in sorted((folder / "figures").glob("*.png")):
        pictures[source.stem] = f"figures/{name}-{source.name}"
        shutil.copyfile(source, HERE / pictures[source.stem])
    made = document["provenance"]
    asked = re.sub(r" --out \S+", "", made["command"]).replace("/work/shared/", "../shared/")
    command = f"{asked}\npython docs/studies/from_folders.py {name}=FOLDER"
    (HERE / f"{name}.md").write_text(markdown(kind.page(document), command, pictures), encoding="utf-8")


SURVEYED = {  # figures of a survey's page, with what they show
    "ranks": "Rank in use per layer over training",
    "update-ranks": "Effective rank of the whole update",
}


def survey(name: str, document: dict[str, Any], folder: Path) -> None:
    """Write ``NAME.md`` of a survey of methods: what each ends at, and for dynamics what the ranks did."""
    results, made = document["results"], document["provenance"]
    base = results["base"]["selection_nll"]
    asked = re.sub(r" --out \S+", "", made["command"])
    lines = [f"# {results['verdict']['headline']}", "", f"`{asked}`, {setup(document).split(': ', 1)[1]}", ""]
    lines += [
        "A survey: few steps, two learning rates each, one seed. It shows that a method trains on a real model; it"
    ]
    lines += ["says nothing about which is best (rules of a verdict: fresh seeds, tuned rates, held-out examples).", ""]
    if name == "dynamics":
        (HERE / "figures").mkdir(exist_ok=True)
        for figure, caption in SURVEYED.items():
            shutil.copyfile(folder / "figures" / f"{figure}.png", HERE / "figures" / f"{name}-{figure}.png")
            lines += [f"![{caption}](figures/{name}-{figure}.png)", "", f"*{caption}.*", ""]
    lines += [
        "| method | trained | learning rates (selection NLL) | ends at | change | formula |",
        "|---|---|---|---|---|---|",
    ]
    for arm in sorted(results["arms"], key=lambda arm: min(value for _, value in arm["best_of_sweep"])):
        rates = ", ".join(f"{rate['lr']:.2g} ({score(rate)})" for rate in arm["learning_rates"])
        nll = arm["best_of_sweep"][-1][1]
        shown = arm["formula"].replace("|", "\\|")
        cells = (arm["label"], f"{arm['trainable']:,}", rates, f"{nll:.3f}", f"{nll - base:+.3f}", shown)
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"The untouched model: {base:.3f} nats per token."]
    (HERE / f"{name}.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


def four_findings(documents: dict[str, dict[str, Any]], folders: dict[str, Path]) -> None:
    """Fill lora-without-regret.md."""

    def fill(found: re.Match[str]) -> str:
        what, name, *rest = found[1].split()
        if what == "table":
            return table(documents[name]["results"])
        if what == "setup":
            return setup(documents[name])
        source = folders[name] / "figures" / f"{rest[0]}.png"
        target = HERE / "figures" / f"{name}-{rest[0]}.png"
        shutil.copyfile(source, target)
        return f"![{rest[0]} of the study {name}](figures/{target.name})"

    text = (HERE / "lora-without-regret.in.md").read_text(encoding="utf-8")
    page = re.sub(r"\{\{(.+?)\}\}", fill, text)
    (HERE / "lora-without-regret.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
