"""The page's prose and lists that are computed from the document: cost, gain, set-up, versions."""

from __future__ import annotations

import re
from pathlib import Path

from rankwise.report import wording
from rankwise.report.view import ArmView, Document, arms, reference, reference_label, stands_in
from rankwise.stats.verdict_words import REFERENCE, SCREENED

RECIPES = (
    ("TRL", "train_trl.py"),
    ("PEFT", "peft_config.py"),
    ("Axolotl", "axolotl.yaml"),
    ("Unsloth", "train_unsloth.py"),
    ("LLaMA-Factory", "llama_factory.yaml"),
)
ARXIV = re.compile(r"\d{4}\.\d{4,5}(v\d+)?")


def tone(arms: list[ArmView], chosen: ArmView | None) -> str:
    """The tone of the headline: the recommended arm's, else the worst that any verdict says."""
    if chosen is not None:
        return chosen.badge.tone
    tones = {arm.badge.tone for arm in arms}
    return next((tone for tone in ("unsure", "bad", "good") if tone in tones), "quiet")


def tiles(arm: ArmView | None) -> list[tuple[str, str]]:
    """(number, what it is a share of) for the recommended arm; only what was measured."""
    if arm is None or arm.badge.key == REFERENCE:
        return []
    shares = (
        (arm.flops_ratio, "training FLOPs"),
        (arm.trainable_ratio, "trainable parameters"),
        (arm.time_ratio, "time per step"),
        (arm.memory_ratio, "peak memory"),
    )
    return [(value, what) for value, what in shares if value != wording.MISSING]


def remarks(arms: list[ArmView]) -> list[tuple[str, ArmView]]:
    """(labels, arm) for the list in words: arms that share verdict and sentence share a line, screened ones last."""
    lines: dict[tuple[str, ...], list[ArmView]] = {}
    for arm in sorted(arms, key=lambda arm: arm.badge.key == SCREENED):
        lines.setdefault((arm.badge.key, arm.sentence, arm.needs, arm.warning), []).append(arm)
    return [(" · ".join(arm.label for arm in alike), alike[0]) for alike in lines.values() if any(alike[0].words)]


def cost_sentence(document: Document, arm: ArmView | None) -> str:
    """What the recommended arm costs beside the reference, from whatever was measured; may be empty."""
    parts = [f"{value} of the {what}" for value, what in tiles(arm)]
    if arm is None or not parts:
        return ""
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    file = f"; its file is {arm.adapter_bytes}" if arm.adapter_bytes != wording.MISSING else ""
    return f"{arm.label} needs {listed} of {reference_label(document)}{file}."


def gain(document: Document) -> str:
    """How far the reference moved the test NLL: the yardstick of every recovery. Empty when it has no test score."""
    arm, base = reference(document), document["results"]["base"]["test_nll"]
    after = arm["test_nll"] if arm is not None else None
    if after is None or not wording.finite(after) or not wording.finite(base) or base <= 0:
        return ""
    change = (after - base) / base
    moved = f"by {wording.percent(abs(change))}"
    verb = f"cut the test NLL {moved}" if change < 0 else f"did not improve the test NLL: it rose {moved}"
    name = reference_label(document)
    if arm is not None and arm["method"] == "full":  # any other label is a name, such as rsLoRA, and stays as it is
        name = sentence_case(name)
    return f"{name} {verb}, from {wording.nll(base)} to {wording.nll(after)} nats per token."


def setup(document: Document) -> list[tuple[str, str]]:
    """(what, value) rows of the set-up."""
    results, provenance = document["results"], document["provenance"]
    study, cell, training = results["study"], results["cell"], results["training"]
    fresh = ", ".join(str(seed) for seed in study["fresh_seeds"]) or "none"
    batches = alternatives([str(batch) for batch in sorted({arm["batch"] for arm in arms(document)})])
    passes = training["steps"] * training["batch"] / max(cell["train"], 1)
    schedule = f"{training['steps']} steps of batch {batches}, {training['schedule']} learning rate"
    measured = ", ".join(str(step) for step in training["eval_steps"])
    test = f"{wording.count(cell['test_targets'])} target tokens"
    return [
        ("Model", f"{cell['model']} ({cell['base_fingerprint']})"),
        ("Data", f"{cell['data']} ({cell['data_fingerprint']})"),
        (
            "Examples",
            f"{cell['train']} train ({passes:.2g} passes), {cell['selection']} selection, {cell['test']} test ({test})",
        ),
        ("Study", f"{study['preset']} at scale {study['scale']}, margin {_margin(document)}"),
        ("Seeds", f"{study['seed']} for the search; {fresh} for the verdict"),
        ("Training", f"{schedule}, {training['optimizer']}, clip {training['clip']}, {training['dtype']}"),
        ("Measured at steps", measured),
        (
            "Score",
            "negative log-likelihood per target token; best checkpoint on selection, test for fresh seeds only",
        ),
        ("Runs", f"{document['cost']['runs']} in {wording.duration(document['cost']['study_seconds'])}"),
        ("Command", provenance["command"]),
    ]


def _margin(document: Document) -> str:
    study = document["results"]["study"]
    of_gain = f"{wording.percent(study['margin'])} of the gain"
    if (loss := study.get("margin_loss")) is None:
        return of_gain
    return (
        f"{of_gain}, and {wording.percent(loss)} of the reference's loss plus {study.get('margin_floor', 0.0):g} nats"
    )


def decided(document: Document) -> list[str]:
    """How the verdict came about: what to use meanwhile if there is none, the margin in nats, the looks."""
    results = document["results"]
    guess, allowed, looks = results["verdict"].get("guess"), results.get("allowed"), results.get("looks")
    return [found["sentence"] for found in (guess, allowed, looks) if found]


def versions(document: Document) -> list[tuple[str, str]]:
    """(name, value) rows of the provenance; what is unknown is said to be."""
    skipped = {"command", "asked"}
    names = {"cpu": "CPU", "numerics_version": "numerics version", "python": "Python"}
    return [
        (names.get(key, key), "unknown" if value is None else str(value))
        for key, value in document["provenance"].items()
        if key not in skipped
    ]


def yardstick(document: Document) -> str:
    """What a match means where the reference only stands in for full fine-tuning; empty where it does not."""
    if not stands_in(document):
        return ""
    name = reference_label(document)
    return f"Full fine-tuning was not trained here; {name} stands in for it. A match is a match with {name}."


def recipe_files(folder: Path) -> list[tuple[str, str]]:
    """(tool, file name) of the configurations to paste that are in ``folder``."""
    return [(tool, name) for tool, name in RECIPES if (folder / name).is_file()]


def alternatives(words: list[str]) -> str:
    """``["4", "8", "16"]`` as "4, 8 or 16"."""
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def sentence_case(text: str) -> str:
    """``text`` with a capital first letter."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """A clause as a sentence: capital first, full stop last."""
    return text if not text else sentence_case(text) + ("" if text.rstrip()[-1:] in ".!?" else ".")


def arxiv_link(identifier: str) -> str:
    """The address of a paper; empty when ``identifier`` is not an arXiv number, so that data cannot forge a link."""
    return f"https://arxiv.org/abs/{identifier}" if ARXIV.fullmatch(identifier or "") else ""
