import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import UsageError
from rankwise.ledger import canonical, run_key

SPEC = {"method": "lora", "rank": 16, "lr": 3e-3, "targets": ["q", "v"], "alpha": None, "bias": False}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_the_key_never_changes():
    # Golden: if this fails, every study on every disk is void. Bump nothing; undo the change.
    assert run_key(SPEC, "base", "data", 1) == "f5609b47fc9ef36c"


def test_the_key_depends_on_each_part_and_not_on_the_order_of_keys():
    shuffled = dict(reversed(SPEC.items()))
    assert run_key(shuffled, "base", "data", 1) == run_key(SPEC, "base", "data", 1)
    others = [
        run_key({**SPEC, "lr": math.nextafter(3e-3, 1)}, "base", "data", 1),
        run_key(SPEC, "base2", "data", 1),
        run_key(SPEC, "base", "data2", 1),
        run_key(SPEC, "base", "data", 2),
        run_key(SPEC, "data", "base", 1),
    ]
    assert len({*others, run_key(SPEC, "base", "data", 1)}) == 6


@given(VALUES)
def test_canonical_reads_back_exactly(value):
    text = canonical(value)
    assert text.isascii()
    assert canonical(json.loads(text)) == text
    assert json.loads(text) == value


def test_spelling():
    assert canonical({"b": (1, 1.0, 1e-5), "a": "ế"}) == '{"a":"\\u1ebf","b":[1,1.0,1e-05]}'


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_refuses_what_json_cannot_hold_and_says_where(bad):
    with pytest.raises(UsageError, match=r"value\.arms\[1\]\.lr is "):
        canonical({"arms": [{"lr": 1.0}, {"lr": bad}]})


@pytest.mark.parametrize("bad", [{1: "a"}, {"a": {1}}, {"a": b"x"}, {"a": object()}])
def test_refuses_unknown_types(bad):
    with pytest.raises(TypeError, match="value"):
        canonical(bad)
