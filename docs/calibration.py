"""docs/studies/calibration.md, written from benchmarks/results/calibration.json by `make calibration`.

.venv/bin/python -m docs.calibration      # the page alone, from the numbers there are
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rankwise.files import write_text

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "calibration.json"
PAGE = ROOT / "docs" / "studies" / "calibration.md"
NOMINAL = 0.025
NAMES = {
    "full": "full fine-tuning",
    "full-again": "full fine-tuning, other seeds",
    "lora-r4": "LoRA r = 4",
    "lora-r16": "LoRA r = 16",
    "full-early": "full, stopped early",
    "any arm": "any of the four arms",
}
ONCE = tuple(f"once at {n}" for n in (3, 5, 8, 12))
AGAIN = ("again at 3, 5, 8, 12",)
AA, AB = ("full-again",), ("lora-r4", "lora-r16", "full-early")
KINDS = {"matches": '"matches"', "falls_short": '"falls short"'}
SEQUENTIAL = ("sequential, gain only", "sequential, tighter bound", "sequential, both bounds")
Found = dict[str, Any]


def page(found: Found) -> str:
    """The page; every number in it is computed from ``found``."""
    return (
        "\n\n".join([_head(found), _above(found), _pool(found), _boundary(found), _as_it_is(found), _power(found)])
        + "\n"
    )


def write() -> None:
    """Write the page from the committed numbers."""
    write_text(PAGE, page(json.loads(RESULTS.read_text(encoding="utf-8"))))


def _head(found: Found) -> str:
    setup, plan, runs = found["setup"], found["plan"], found["runs"]
    model = f"{setup['model']} ({setup['parameters']:,} parameters)"
    resampled = f"{plan['resamples']} resampled pools of {plan['resample_studies']} studies"
    rows = [
        ("A/A", "one planned look, at 3, 5, 8 or 12 seeds", ONCE, AA),
        ("A/B", "one planned look, at 3, 5, 8 or 12 seeds", ONCE, AB),
        ("A/A", "that test taken again at each of the four, which nobody should do", AGAIN, AA),
        ("A/B", "that test taken again at each of the four", AGAIN, AB),
        ("A/A", "a look after every seed from 3 to 12", SEQUENTIAL, AA),
        ("A/B", "a look after every seed from 3 to 12", SEQUENTIAL, AB),
        ("all", "a look after every seed, any of four arms", SEQUENTIAL, ("any arm",)),
    ]
    lines = "\n".join(f"| {who} | {rule} | {_summary(found, rules, arms)} |" for who, rule, rules, arms in rows)
    return f"""# Is the verdict right as often as it promises, on real runs?

Written by `make calibration` (`benchmarks/calibration/`); the numbers are in
[calibration.json](../../benchmarks/results/calibration.json). `make calibration` without MODEL trains a small model
first, so that anyone can repeat it.

Pools of {runs} runs of each of four conditions, every run under a seed of its own: {4 * runs:,} fine-tunings of
{model}, all scored on the same {setup["examples"]:,} held-out examples.
From these, {plan["studies"]:,} whole studies are drawn for each row: fresh seeds, a fresh subset of the examples. The
truth is the mean of the whole pool. A constant per token puts an arm exactly at the bound of the margin, where either
claim is wrong and a wrong one is likeliest; each kind may be made 2.5 % of the time. A/A is full fine-tuning under
other seeds than the reference's, A/B another arm. Intervals in brackets are 95 %, from {resampled}
(runs and examples drawn again with replacement, the truth computed again).

| | rule | rates | false "matches": mean, worst | false "falls short": mean, worst | whole interval above 2.5 % |
|---|---|---|---|---|---|
{lines}"""


def _summary(found: Found, rules: tuple[str, ...], arms: tuple[str, ...]) -> str:
    rows = [row for row in found["boundary"] if row["rule"] in rules and row["arm"] in arms]
    cells = [str(2 * len(rows))]
    for kind in KINDS:
        rates = [row[kind][0] for row in rows]
        cells.append(f"{_percent(sum(rates) / len(rates))}, {_percent(max(rates))}")
    cells.append(str(sum(row[kind][1] > NOMINAL for row in rows for kind in KINDS)))
    return " | ".join(cells)


def _above(found: Found) -> str:
    """Every sequential rate whose interval lies above what was promised, by name, and how many chance would give."""
    rows = [row for row in found["boundary"] if row["rule"] in SEQUENTIAL]
    above = [
        f"- {NAMES[row['arm']]}, {_seeds(row)} seeds, {row['examples']} examples, {_short(row['rule'])}: "
        f"{_interval(row[kind])} % false {KINDS[kind]}"
        for row in rows
        for kind in KINDS
        if row[kind][1] > NOMINAL
    ]
    of = f"of {2 * len(rows)} intervals, of which {2 * len(rows) * NOMINAL:.0f} would by chance if all rates were 2.5 %"
    if not above:
        return f"With a look after every seed no interval lies above 2.5 % ({of})."
    cases = {(row["arm"], row["paired"]) for row in rows if any(row[kind][1] > NOMINAL for kind in KINDS)}
    alike = "They are one arm and one pairing, so not independent: only more runs can call that case clean."
    said = ["", alike] if len(cases) == 1 and len(above) > 1 else []
    head = f"With a look after every seed these intervals lie above 2.5 % ({len(above)} {of}):"
    return "\n".join([head, "", *above, *said])


def _short(rule: str) -> str:
    return rule.removeprefix("sequential, ")


def _seeds(row: Found) -> str:
    return "same" if row["paired"] else "other"


def _pool(found: Found) -> str:
    setup, pool = found["setup"], found["pool"]
    recipe, margin = setup["recipe"], pool["margin"]
    tried = len(recipe["search"]["selection_nll"]["full"])
    length = f"{setup['mean_tokens']:.1f} tokens, {setup['mean_targets']:.1f} of them targets"
    lines = [
        f"""## The runs

Data: the code book in a short form (`Zorgon-53: 7245 desert`; {length}),
test facts that no run has read. {recipe["steps"]} steps of {recipe["batch"]} examples, at the best of {tried} rates on
three other seeds. Untouched model: {pool["base_nll"]:.3f} nats per token. 5 % of the gain is {margin["keeps"]:.3f}
nats, 10 % of full fine-tuning's loss and 0.01 are {margin["close"]:.3f}; the tighter one counts as the margin below.

| condition | rate, steps | loss | seed sd | regret | in margins | gain alone | paired seed sd, skewness | example sd |
|---|---|---|---|---|---|---|---|---|"""
    ]
    for name in (name for name in NAMES if name in pool["conditions"]):
        own = pool["conditions"][name]
        rate = recipe["lr"]["full" if name == "full-early" else name]
        steps = recipe["early_step"] if name == "full-early" else recipe["steps"]
        cells = [NAMES[name], f"{rate:g}, {steps}", *(f"{own[key]:.3f}" for key in ("nll", "seed_sd", "regret"))]
        cells += [f"{own['margins']:.2f}", f"{own['margins_gain_only']:.2f}"]
        cells += [f"{own['paired_seed_sd']:.3f}, {own['paired_skewness']:.1f}", f"{own['example_sd']:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Loss, regret and standard deviations in nats per token. *Paired* is the difference to full fine-tuning under",
        "the same seed; *example sd* that of its mean over seeds.",
    ]
    return "\n".join(lines)


def _boundary(found: Found) -> str:
    text = """## At the boundary

Percent of studies with a false claim. *Same seeds*: arm and reference share theirs, as in a study; full fine-tuning
again always has others (A/A). *Gain only*: the margin asks for 95 % of the gain. *Tighter bound*: it asks for the loss
too, and the arm stands at the tighter of the two bounds. *Both*: each contrast exactly at its bound, the worst case for
"falls short". *Any of the four arms*: all of them in one study, at both bounds, levels shared as in a verdict.

### A look after every seed, from 3 to 12

"""
    return text + _table(found, SEQUENTIAL) + "\n\n### One planned look, gain only\n\n" + _table(found, ONCE)


def _table(found: Found, rules: tuple[str, ...]) -> str:
    rates = {(r["arm"], r["paired"], r["examples"], r["rule"]): r for r in found["boundary"]}
    keys = dict.fromkeys(key[:3] for key in rates if key[3] in rules)
    short = [_short(rule) for rule in rules]
    lines = ["| arm | seeds | examples | " + " | ".join(f'{r}: "matches" | "falls short"' for r in short) + " |"]
    lines.append("|---" * (3 + 2 * len(rules)) + "|")
    for arm, paired, examples in sorted(keys, key=lambda k: (list(NAMES).index(k[0]), not k[1], k[2])):
        cells = [NAMES[arm], "same" if paired else "other", str(examples)]
        for rule in rules:
            row = rates.get((arm, paired, examples, rule))
            cells += [_interval(row[kind]) if row else "" for kind in KINDS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _as_it_is(found: Found) -> str:
    lines = [
        """## As it is

Nothing is shifted. Share of studies that decide, mean seeds, and how many of the decided ones say the right word.

| arm | rule | right word | examples | decided | right | seeds |
|---|---|---|---|---|---|---|"""
    ]
    for row in found["unshifted"]:
        if row["rule"] in ("once at 3", "sequential, gain only", "sequential"):
            word = row["truth"]
            cells = [NAMES[row["arm"]], _rule(row["rule"]), word, str(row["examples"]), _percent(row["decided"])]
            cells += [_percent(row["right"]), f"{row['seeds']:.1f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rule(name: str) -> str:
    return {"sequential": "sequential, gain and loss", "once at 3": "once at 3, gain only"}.get(name, name)


def _power(found: Found) -> str:
    regrets = list(dict.fromkeys(row["regret"] for row in found["power"]))
    designs = list(dict.fromkeys(row["design"] for row in found["power"]))
    rows = {(row["design"], row["regret"]): row for row in found["power"]}
    head = "| design | " + " | ".join(f"{regret:g}" for regret in regrets) + " | within one margin |"
    near = [regret for regret in regrets if 0 <= regret <= 2 and regret != 1]

    def block(key: str, show: Any) -> list[str]:
        lines = [head, "|---" * (len(regrets) + 2) + "|"]
        for design in designs:
            mean = sum(rows[design, regret][key] for regret in near) / len(near)
            own = [show(rows[design, regret][key]) for regret in regrets]
            lines.append(f"| {design} | " + " | ".join(own) + f" | {show(mean)} |")
        return lines

    share = {(row["design"], row["regret"]): row["decided"] for row in found["power"]}
    old, gain, both, new = (
        _percent(sum(share[designs[place], regret] for regret in near) / len(near)) for place in (0, 2, 3, 5)
    )
    seconds, margin, studies = found["seconds_per_run"], found["pool"]["margin"], 3 * found["plan"]["studies"]
    fastest, slowest = min(seconds.values()), max(seconds.values())
    parts = [
        f"""## What it decides, and what that costs: the old design beside the new one

The three arms that are no repetition, under the reference's seeds, put at true regrets from -1 to 2 margins: each
column is {studies:,} studies. A margin is {margin["keeps"]:.3f} nats, 5 % of the gain, for *gain only*, and
{min(margin.values()):.3f} nats, the tighter bound, where both are asked for. The last column is the mean over those
within one margin of the boundary, the boundary itself left out. A study runs on until it has said something or has 12
seeds; giving up earlier would save seeds and lose words.

Within one margin of the boundary one look at 3 seeds and 96 examples decides {old} when the gain alone is asked for and
{both} when both bounds are; looks after every seed, with 256 examples, decide {gain} and {new}.

Share decided:
""",
        *block("decided", _percent),
        "\nSeeds (each is a run of the arm and one of the reference, which several arms share):\n",
        *block("seeds", lambda x: f"{x:.1f}"),
        "\nFalse claims (at 1 margin both kinds are false):\n",
        *block("false", _percent),
        f"\nA run of this small model took {fastest:.1f} to {slowest:.1f} s on one core, its scoring included.",
    ]
    return "\n".join(parts)


def _interval(rate: list[float]) -> str:
    value, low, high = (100 * x for x in rate)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    write()
