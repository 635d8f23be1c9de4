"""The frozen spec of every row: a value that hashes, prints its formula and goes through JSON."""

from __future__ import annotations

import json

import pytest

from rankwise.adapters import Adapter
from rankwise.errors import UsageError

from .models import LLAMA, SEQUENTIAL
from .tools import attach, every_row


@every_row
def test_round_trip_hash_and_repr(row):
    adapter = row.adapter
    text = json.dumps(adapter.to_dict(), sort_keys=True)
    again = Adapter.from_dict(json.loads(text))
    assert again == adapter
    assert hash(again) == hash(adapter)
    assert json.dumps(again.to_dict(), sort_keys=True) == text
    assert adapter.formula in repr(adapter)
    assert "W0" in adapter.formula
    assert ("W0 + " in adapter.formula) == (row.kind == "delta")
    assert ("|V|" in adapter.formula) == (row.magnitude is not None)
    assert ("B0 A0" in adapter.formula) == row.edits_base
    assert (f"rank {row.rank}" in repr(adapter)) == row.ranked
    assert adapter.init.edits_base == row.edits_base
    assert adapter.s == pytest.approx(row.scale, rel=1e-15)


@every_row
def test_the_formula_evaluates_to_the_scale(row):
    if not row.ranked:
        assert row.scale == 1
        return
    scale = row.adapter.formula.rpartition("W0 + ")[2].split(" ")[0].strip("()")
    numerator, _, denominator = scale.partition("/")
    divisor = float(denominator.removeprefix("√")) if denominator else 1.0
    assert float(numerator) / (divisor**0.5 if "√" in scale else divisor) == pytest.approx(row.scale)


@every_row
def test_rank_above_the_smallest_dimension(row):
    """Legal for random starts (SmolLM2's k and v have 192 outputs); QR, SVD and orthogonal starts must refuse."""
    if not row.ranked:
        with pytest.raises(UsageError, match="has no rank and no scale; use rank 1, alpha 1, found rank 10"):
            Adapter.from_dict({**row.adapter.to_dict(), "rank": 10})
        return
    if row.name == "lora-ga":  # refuses sooner: it takes 2 x rank singular vectors
        return
    adapter = Adapter.from_dict({**row.adapter.to_dict(), "rank": 10})
    for tiny, shape in ((LLAMA, r"model\.layers\.0\.self_attn\.k_proj is 8 x 16"), (SEQUENTIAL, "0 is 12 x 8")):
        model = tiny.make()
        if not row.rank_bounded:
            assert {m.rank for m in attach(model, adapter).matched} <= {10} or row.adapter.init.name == "eva"
            continue
        who = adapter.parametrization.name if adapter.init.name == "own" else adapter.init.name
        with pytest.raises(UsageError, match=f"{who}.*rank is 10 and {shape}; use rank <= 8"):
            attach(model, adapter)
        assert all(p.requires_grad for p in model.parameters()), "nothing happened"
        assert not any("adapters" in key for key in model.state_dict())


@every_row
def test_rank_equal_to_the_smallest_dimension_is_legal(row):
    if not row.ranked or row.name == "lora-ga":  # which takes 2 x rank singular vectors
        return
    adapter = Adapter.from_dict({**row.adapter.to_dict(), "rank": 8})
    assert {m.rank for m in attach(LLAMA.make(), adapter).matched} == {8}
