"""Every reader over whatever hypothesis thinks of, and over damage to what it should get."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .damage import bytes_damage, dumped, json_damage
from .readers import READERS, read

GOOD = {
    "study": {"preset": "rank", "scale": "smoke", "steps": 4, "sizes": {"train": 8, "selection": 2, "test": 4}},
    "stream": {"steps": 2, "strategies": ["sequential"], "tasks": [{"id": "a", "data": "word-problems:en"}]},
    "adapter config": {
        **{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"]},
        **{"rank_pattern": {"q_proj": 2}, "alpha_pattern": {}, "bias": "none", "modules_to_save": None},
    },
    "rows.json": [{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}],
    "results": {"results": {"arms": [{"name": "a"}], "verdict": {}}, "cost": {}, "provenance": {}},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(found=st.binary(max_size=200) | st.text(max_size=100).map(lambda t: t.encode("utf-8", "replace")) | JSON)
def test_anything(name, found):
    read(name, found if isinstance(found, bytes) else json.dumps(found).encode())


@pytest.mark.parametrize("name", READERS)
def test_damage(name):
    good = GOOD.get(name, {"prompt": "2 + 2 = ?", "completion": "4"})
    for number in range(25):
        draw = Random(f"{name}/{number}")
        read(name, dumped(json_damage(draw, good)))
        read(name, bytes_damage(draw, dumped(good)))
