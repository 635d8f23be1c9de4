"""The README beside an adapter: what it is, how good it is, on what base, and how to load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankwise.files import write_text


def write_card(folder: Path, name: str, document: dict[str, Any]) -> None:
    """Write ``README.md`` for the adapter of arm ``name``. It says so when no arm matched."""
    results = document["results"]
    arm = next(a for a in results["arms"] if a["name"] == name)
    cell, training = results["cell"], results["training"]
    matched = results["verdict"]["recommended"] == name
    lead = "" if matched else "**No arm matched the reference; this is the best adapter of the study.**\n\n"
    seed = next(run["seed"] for run in arm["fresh"] if run["status"] == "done")
    lines = [
        "---",
        "library_name: peft",
        f"base_model: {cell['model']}",
        "tags: [rankwise, lora]",
        "---",
        f"# {arm['label']} on {cell['data']}",
        "",
        f"{lead}{arm['verdict']['sentence']}",
        "",
        f"- base: {cell['model']}, fingerprint `{cell['base_fingerprint'][:16]}`",
        f"- update: `{arm['formula']}`, {arm['trainable']:,} trainable parameters, alpha {arm['alpha']:g}, "
        f"alpha/r {arm['alpha_over_rank']:g}, effective scale {arm['scaling']:g}",
        f"- training: {training['steps']} steps of {arm['batch']} examples, learning rate {arm['best_lr']:g}, "
        f"{training['schedule']} schedule, seed {seed}",
        f"- test NLL per completion token: {arm['test_nll']:.4f} (base {results['base']['test_nll']:.4f}), "
        f"mean over seeds {', '.join(str(run['seed']) for run in arm['fresh'])}",
        *(f"- {note}" for note in cell["notes"]),
        "",
        "```python",
        "from peft import PeftModel",
        "model = PeftModel.from_pretrained(base_model, 'best')   # or rankwise.load(base_model, 'best')",
        "```",
        "",
    ]
    for citation in results["citations"]:
        if citation["method"] == arm["method"]:
            lines += ["```bibtex", citation["bibtex"], "```", ""]
    write_text(folder / "README.md", "\n".join(lines))
