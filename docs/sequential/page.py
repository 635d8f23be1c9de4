"""The page docs/studies/sequential.md; every number on it is computed from what was found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from docs.sequential.cells import BY_HAND, Cell
from docs.sequential.chart import EFFECT_WORDS, NOISE_WORDS
from docs.sequential.families import ADDED_AFTER, Family
from docs.sequential.grid import FURTHER, Found
from docs.sequential.walk import ONE_LOOK, Setting
from rankwise.stats.looks import HORIZON
from rankwise.stats.verdict import ERROR
from rankwise.studies.running.deciding import HOPELESS

WORST = 10  # cells listed


def limit(replicates: int) -> float:
    """False claims of one kind that a cell may show: 2.5 % and two standard errors."""
    return float(ERROR + 2 * np.sqrt(ERROR * (1 - ERROR) / replicates))


def least(replicates: int) -> float:
    """Coverage that a cell must show: 95 % less two standard errors."""
    return float(0.95 - 2 * np.sqrt(0.05 * 0.95 / replicates))


def page(found: Found) -> str:
    """The page beside the figure."""
    sections = (_introduction, _claims, _worst, _looks, _skewness, _powers, _families, _left_out)
    return "\n".join(section(found) for section in sections)


def _introduction(found: Found) -> str:
    count = found.cells[0].replicates
    return f"""# May one look after every seed?

Written by `make sequential-figure` (`docs/sequential`, with the data of `docs/simulation.py`); the numbers are in
[sequential.json](sequential.json).

![False claims in every cell: sequential looks, and looks that share no error](sequential.png)

{len(found.cells)} cells of {count:,} simulated studies each, seed 0. A study picks its learning rates on one seed,
then adds fresh seeds one by one and looks after each, from the third to the {HORIZON}th: 48 to 1,000 test examples;
seed noise from none to ten times that of the examples; arm and reference under the same seeds or under different
ones; an arm's effect on examples with heavy tails (Student t with 5 degrees of freedom) or skewed either way
(gamma, skewness 1.4). The rule is that of `stats/verdict.py`; `tests/stats/test_sequential.py` holds the two to the
same words. The arm stands exactly at the margin, where a wrong word is likeliest: at the bound of the gain only, of
the loss only, and of both; the worst of the three counts.

Filled: looks after every seed. Hollow: the test of one planned look, taken after 3, 5, 8 and 12 seeds as if each
were the only one. Gray line: {_percent(ERROR)}. Dashed: two standard errors above it.
"""


def _claims(found: Found) -> str:
    cells = found.cells
    count = cells[0].replicates
    further = [c for c in cells if c.seeds > HORIZON]
    most, fewest = f"at most {_percent(limit(count), 2)}", f"at least {_percent(least(count), 1)}"

    def row(claim: str, field: str, rows: Sequence[Cell] | Sequence[Family], *, covers: bool = False) -> list[str]:
        values = [getattr(c, field) for c in rows]
        value = min(values) if covers else max(values)
        where = rows[values.index(value)].setting
        return [claim, fewest if covers else most, _percent(value, 2), _name(where)]

    by_hand = f"looks by hand at {' and '.join(map(str, BY_HAND))} seeds only"
    on = f"going on to {FURTHER} seeds"
    return _table(
        ["claim, worst cell", "bound", "found", "where"],
        [
            row('false "matches"', "match", cells),
            row('false "falls short"', "short", cells),
            row('false "falls short", margin of the gain alone', "short_gain_only", cells),
            row('false "beats", regret exactly 0', "beats", cells),
            row(f'{by_hand}: false "matches"', "match_by_hand", cells),
            row('the same: false "falls short"', "short_by_hand", cells),
            row(f'{on} where it looked promising: false "matches"', "match_promising", further),
            row('the same: false "falls short"', "short_promising", further),
            row(f'{on} always: false "matches"', "match_extended", further),
            row('the same: false "falls short"', "short_extended", further),
            row('two arms: any false "matches"', "match", found.families),
            row('two arms: any false "falls short"', "short", found.families),
            row("coverage of the intervals of all looks together", "covered", cells, covers=True),
            row("coverage of the interval shown at the end", "covered_at_stop", cells, covers=True),
        ],
    )


def _worst(found: Found) -> str:
    rows = sorted(found.cells, key=lambda c: -max(c.match, c.short))[:WORST]
    return f"The {WORST} worst cells, false claims and coverage of all looks together:\n\n" + _table(
        ["cell", "matches", "falls short", "... of the gain alone", "beats", "covered"],
        [
            [_name(c.setting), *(_percent(x, 2) for x in (c.match, c.short, c.short_gain_only, c.beats, c.covered))]
            for c in rows
        ],
    )


def _looks(found: Found) -> str:
    rows = [c for c in found.cells if (c.examples, c.paired, c.effects, c.seeds) == (96, True, "heavy", HORIZON)]
    return f"""## Beside one look, and looks that share no error

96 examples, same seeds, heavy tails: false "matches" and false "falls short". One look: the only one planned, after
{_places()} seeds. As if once: these four looks, each taken as if it were the only one.

""" + _table(
        ["seed noise", "after every seed", "at 3 and 6", "one look: matches", "falls short", "as if once"],
        [
            [
                NOISE_WORDS[c.noise],
                _both(c.match, c.short),
                _both(c.match_by_hand, c.short_by_hand),
                _list(c.match_once),
                _list(c.short_once),
                _both(c.match_relooked, c.short_relooked),
            ]
            for c in rows
        ],
    )


def _skewness(found: Found) -> str:
    cells = found.cells
    rows = sorted(cells, key=lambda c: -max(c.match_unguarded, c.short_unguarded))[:WORST]
    over = sum(max(c.match_unguarded, c.short_unguarded) > limit(c.replicates) for c in cells)
    return f"""## What the guard on skewness does

Without it {over} of {len(cells)} cells would break the bound. It transforms t for the skewness that the examples
show (Hall 1992), only where that widens (`stats/crossed.py`, guard 3). The {WORST} cells that were worst without
it, false claims without and with it. One planned look has no such guard and keeps its numbers of before; the last
two columns are what that costs after {ONE_LOOK[-1]} seeds.

""" + _table(
        ["cell", "matches", "falls short", "one look: matches", "falls short"],
        [
            [
                _name(c.setting),
                f"{_percent(c.match_unguarded, 2)} → {_percent(c.match, 2)}",
                f"{_percent(c.short_unguarded, 2)} → {_percent(c.short, 2)}",
                _percent(c.match_once[-1], 2),
                _percent(c.short_once[-1], 2),
            ]
            for c in rows
        ],
    )


def _powers(found: Found) -> str:
    return f"""## How soon it decides

Same seeds, heavy tails, {found.powers[0].replicates:,} replicates, both bounds of the margin alike. Regret is in
margins: at 1 both words are wrong. Share that is decided, and mean seeds until then or until it is given up.
Obeyed: stopped where the chance to decide at {HORIZON} seeds fell below {100 * HOPELESS:.0f} %; who does so says
nothing, so false claims can only become fewer. One look: after {_places()} seeds.

""" + _table(
        ["seed noise", "examples", "regret", "decided", "seeds", "obeyed: decided", "seeds", "one look: decided"],
        [
            [
                NOISE_WORDS[p.noise],
                str(p.examples),
                f"{p.regret:g}",
                _percent(p.match + p.short),
                f"{p.seeds:.1f}",
                _percent(p.match_obeyed + p.short_obeyed),
                f"{p.seeds_obeyed:.1f}",
                _list(m + s for m, s in zip(p.match_once, p.short_once, strict=True)),
            ]
            for p in found.powers
        ],
    )


def _families(found: Found) -> str:
    return f"""## Several arms

96 examples, heavy tails, all arms at the boundary: studies with any false "matches", and with any false "falls
short". Two arms share the error by Holm; a third one is added, as a family of its own under the same reference,
where neither of the two had matched after {ADDED_AFTER} seeds. Two families together are bounded by 5 % only.

""" + _table(
        ["seed noise", "seeds", "the two", "the late one", "either family"],
        [
            [
                NOISE_WORDS[f.noise],
                "same" if f.paired else "different",
                _both(f.match, f.short, 2),
                _both(f.match_late, f.short_late, 2),
                _both(f.match_any, f.short_any, 2),
            ]
            for f in found.families
        ],
    )


def _left_out(found: Found) -> str:
    tuned = max(found.cells, key=lambda c: c.match_tuned)
    return f"""## What this does not show

The claim is about the recipes as picked. Against the best learning rates of both sides an unlucky pick by the
reference flatters the arm: up to {_percent(tuned.match_tuned)} false "matches" ({_name(tuned.setting)}).

Not simulated: other horizons than {HORIZON} seeds; ladders of ranks, and three arms or more in one family; numbers
of examples chosen from what was seen; the check that the reference learned anything; skewed effects with 1,000
examples at every noise.
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _places() -> str:
    return ", ".join(map(str, ONE_LOOK[:-1])) + f" and {ONE_LOOK[-1]}"


def _name(setting: Setting) -> str:
    seeds = f", to {setting.seeds} seeds" if setting.seeds > HORIZON else ""
    pairing = "same seeds" if setting.paired else "different seeds"
    noise = NOISE_WORDS[setting.noise]
    return f"{setting.examples:,} examples, {EFFECT_WORDS[setting.effects]}, {pairing}, seed noise {noise}{seeds}"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _both(match: float, short: float, digits: int = 1) -> str:
    return f"{_percent(match, digits)}, {_percent(short, digits)}"


def _list(shares: Iterable[float]) -> str:
    return " / ".join(f"{100 * share:.1f}" for share in shares) + " %"
