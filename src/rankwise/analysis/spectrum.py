"""``analyze spectrum``: do facts need more rank than style? In closed form here, or measured (``spectrum_*.py``)."""

from __future__ import annotations

from rankwise.analysis.finding import Axis, Finding, Panel, Table, decide
from rankwise.analysis.measures.spectra import energy_rank
from rankwise.analysis.measures.style_facts import ALPHA, RANKS, facts_spectrum, style_facts_table, style_spectrum
from rankwise.analysis.request import Request
from rankwise.analysis.spectrum_panels import spectra_panel
from rankwise.analysis.spectrum_saved import saved
from rankwise.analysis.spectrum_trained import trained
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress


def run(request: Request, progress: Progress) -> Finding:
    """Closed form without options; ``adapter`` looks at a saved one; ``train`` trains style against facts."""
    if request.adapter is not None and request.train:
        raise UsageError("--adapter looks at a saved adapter and --train makes its own updates; give one of them.")
    if request.train:
        return trained(request, progress)
    if request.adapter is not None:
        return saved(request, progress)
    for option in sorted(request.given - {"scale"}):
        raise UsageError(f"--{option} needs --train or --adapter: the closed form has no model, data or seed.")
    return _closed_form()


def _closed_form() -> Finding:
    table = style_facts_table()
    middle = [row for row in table if 2 <= row["rank"] <= 32]
    kinds = ("style", "facts")
    lower = sum(row[f"{k}_alpha_over_sqrt_r"] < row[f"{k}_alpha_over_r"] for row in middle for k in kinds)
    needs = {k: energy_rank(s, 0.9) for k, s in zip(kinds, (style_spectrum(), facts_spectrum()), strict=True)}
    sums = {k: energy_rank(s, 0.9, "sum") for k, s in zip(kinds, (style_spectrum(), facts_spectrum()), strict=True)}
    names = {"unscaled": "no scale", "alpha_over_r": "alpha/r", "alpha_over_sqrt_r": "alpha/sqrt(r)"}
    rows = tuple(
        {"rank": row["rank"], "error": row[f"{kind}_{column}"], "arm": f"{kind}, {name}"}
        for row in table
        for kind in kinds
        for column, name in names.items()
        if row[f"{kind}_{column}"] > 0
    )
    return Finding(
        analysis="spectrum",
        claim=(
            "With alpha/sqrt(r) a truncated update is closer to the original than with alpha/r "
            "(as tutorials on rank stabilization, arXiv 2312.03732, demonstrate it)."
        ),
        setup={"dimension": 64, "alpha": ALPHA, "style": "10, 6, 3, 1.5, then 0.02", "facts": "1/sqrt(i)"},
        word=decide(lower == 2 * len(middle), lower < len(middle)),
        rule=(
            "Holds if alpha/sqrt(r) has the lower error at every rank from 2 to 32 for both spectra, does not hold if "
            "in fewer than half of these cases. This is arithmetic on two fixed spectra: the word is the same on "
            "every machine and model."
        ),
        why=f"alpha/sqrt(r) has the lower error in {lower} of {2 * len(middle)} cases.",
        interpretation=(
            "The error of a truncation times a scale s is sqrt(1 - E_r + (s - 1)^2 E_r), E_r the energy kept: it "
            "depends on the spectrum alone and is lowest at s = 1, which for alpha 16 is rank 16 under alpha/r and "
            "rank 256 under alpha/sqrt(r). The curves with a scale therefore show how far s is from 1, not how well a "
            "scaling learns: training absorbs s into the factors. The unscaled curve is the honest one, and there the "
            f"style spectrum needs rank {needs['style']} for 90 % of its squared norm ({sums['style']} for 90 % of "
            f"the sum of singular values) and the facts spectrum {needs['facts']} ({sums['facts']}): the same percent "
            "means very different ranks in the two conventions. Whether real style and real facts have such spectra "
            "is what `rankwise analyze spectrum --train` measures."
        ),
        panels=(
            Panel(
                "Relative error of a rank-r truncation",
                "lines",
                rows,
                Axis("rank", "rank", log=True),
                Axis("error", "relative Frobenius error", log=True),
                "arm",
            ),
            spectra_panel({"style": style_spectrum().tolist(), "facts": facts_spectrum().tolist()}),
        ),
        tables=(
            Table(
                "Relative errors, style / facts",
                ("rank", "unscaled", "alpha/r", "alpha/sqrt(r)", "E_r"),
                tuple(
                    (
                        int(row["rank"]),
                        *(
                            f"{row[f'style_{c}']:.4f} / {row[f'facts_{c}']:.4f}"
                            for c in ("unscaled", "alpha_over_r", "alpha_over_sqrt_r", "energy")
                        ),
                    )
                    for row in table
                ),
            ),
        ),
        caveats=(
            "The source gives no data: both spectra are our choice, so they illustrate the claim and prove nothing.",
            "The error mixes truncation with a scale that training would absorb.",
        ),
        numbers={"table": table, "ranks": list(RANKS), "rank_90_squares": needs, "rank_90_sum": sums},
    )
