"""The parameter table of the "LoRA Without Regret" tutorial, computed, and why its four numbers do not add up.

``make docs`` writes the page, docs/tutorial-table.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from rankwise.adapters import Adapter
from rankwise.adapters.placements import Regex
from rankwise.cost.blueprint import blueprint
from rankwise.cost.count import adapter_parameters

MODELS = ("Qwen3-8B", "Llama-3.1-8B")
_ATTENTION, _MLP, _HEAD = r"self_attn\.", r"mlp\.", "lm_head"


@dataclass(frozen=True)
class Row:
    """One line of the tutorial's table: where the adapter is, its rank, and the count printed there in billions."""

    label: str
    pattern: str
    rank: int
    printed: str


ROWS = (
    Row("MLP", _MLP, 256, "0.49"),
    Row("attention", _ATTENTION, 256, "0.25"),
    Row("all linear", f"{_ATTENTION}|{_MLP}", 256, "0.70"),
    Row("MLP, half the rank", _MLP, 128, "0.24"),
)


def counts(model: str, *, head: bool) -> tuple[int, ...]:
    """Return the trainable parameters of every row of :data:`ROWS`, with or without an adapter on the output head."""
    drawn = blueprint(model).model
    found = []
    for row in ROWS:
        placement = Regex(f"{row.pattern}|{_HEAD}" if head else row.pattern)
        found.append(sum(adapter_parameters(drawn, Adapter(rank=row.rank, placement=placement)).values()))
    return tuple(found)


def page() -> str:
    """Return docs/tutorial-table.md."""
    columns = {(model, head): counts(model, head=head) for model in MODELS for head in (False, True)}
    titles = [f"{model}{', head too' if head else ''}" for model, head in columns]
    lines = [
        "| adapter on | rank | printed | " + " | ".join(titles) + " |",
        "|---|---|---|" + "---|" * len(titles),
    ]
    for i, row in enumerate(ROWS):
        cells = " | ".join(f"{column[i] / 1e9:.4f} B" for column in columns.values())
        lines.append(f"| {row.label} | {row.rank} | {row.printed} B | {cells} |")
    mlp, attention, everything, half = columns["Llama-3.1-8B", True]
    head = mlp + attention - everything
    return _PAGE.format(
        table="\n".join(lines),
        head=f"{head:,}",
        mlp=f"{mlp / 1e9:.4f}",
        attention=f"{attention / 1e9:.4f}",
        everything=f"{everything / 1e9:.5f}",
        half=f"{half / 1e9:.4f}",
    )


_PAGE = """# A parameter table that does not add up

*This page is made by `make docs` (`docs/tutorial.py`); a test holds it equal to the counts.*

The "LoRA Without Regret" tutorial prints the sizes of four adapters: 0.49 B on the MLP, 0.25 B on attention, 0.70 B
on all linear layers, and 0.24 B on the MLP at half the rank. They cannot all count the same layers: a low-rank adapter
has `rank x (d_in + d_out)` parameters on each linear layer, and every linear layer of a block is in attention or in
the MLP, so at one rank "all" must be their sum; but 0.49 + 0.25 = 0.74, not 0.70.

Counted from the models' own shapes (the head is the output layer, `lm_head`):

{table}

What follows from it:

- Without the head the columns add up exactly, and neither model has 0.49 B on the MLP at rank 256 (both have
  0.4530 B). These are the counts of the placements `mlp`, `attention` and `all-linear` of `rankwise`.
- With an adapter on the head of Llama-3.1-8B *in every row*, all four printed numbers appear: {mlp}, {attention},
  {everything} and {half}. The head's {head} parameters are then in the MLP row, in the attention row, and once in the
  sum, which is why the rows do not add up: they share a layer. No other column gives all four.
- That the authors adapted the head is our reading of the numbers, not something the tutorial says. It matters for
  the comparison: with a shared head, "attention only" is not attention only.

At one rank the MLP adapter has 1.8 to 3.1 times the parameters of the attention adapter, so placements are better
compared at matched sizes; `rankwise.cost.match_ranks` finds the ranks (Qwen2.5-0.5B: 96 on attention, 32 on the MLP).

See for yourself: `rankwise cost --model Llama-3.1-8B --rank 256 --placement 'regex:mlp|lm_head'`.
"""
