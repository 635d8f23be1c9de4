"""--until, --limit and --seeds: what they set, and what does not go together."""

import pytest

from rankwise.cli.looking import looking
from rankwise.errors import UsageError


@pytest.mark.parametrize(
    ("until", "limit", "seeds", "found"),
    [
        (None, None, None, {}),
        (None, None, 2, {"until": "seeds", "fresh_seeds": [8, 9]}),
        ("seeds", None, None, {"until": "seeds", "fresh_seeds": [8, 9, 10]}),
        ("decided", None, None, {"until": "decided", "fresh_seeds": [*range(8, 20)]}),
        (None, "4 seeds", None, {"until": "decided", "fresh_seeds": [8, 9, 10, 11]}),
        (None, "5m", None, {"until": "decided", "fresh_seeds": [*range(8, 20)], "limit_seconds": 300.0}),
    ],
)
def test_what_they_set(until, limit, seeds, found):
    assert looking(until, limit, seeds, 7, {}) == found


@pytest.mark.parametrize(
    ("until", "limit", "seeds", "values", "said"),
    [
        ("never", None, None, {}, "unknown --until 'never'"),
        ("decided", None, 4, {}, "--seeds 4 looks once"),
        (None, "12", 4, {}, "--seeds 4 looks once"),
        ("seeds", "12", None, {}, "--limit says where --until decided stops"),
        (None, "2", None, {}, "--limit takes 3 fresh seeds, those of the first look, to 200; found 2"),
        (None, "1000", None, {}, "to 200; found 1000"),
        (None, "soon", None, {}, "--limit needs fresh seeds such as 12, or a time such as 20m"),
        (None, "12", None, {"fresh_seeds": [1, 2, 3]}, "both say which seeds there are"),
        (None, None, 3, {"fresh_seeds": [1, 2, 3]}, "both say which seeds there are"),
        (None, "12", None, {"until": "seeds"}, "--set until=... stands against"),
        (None, "1s", None, {"budget": {"seconds": 60}}, "--budget are both times"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(until, limit, seeds, values, said):
    with pytest.raises(UsageError) as caught:
        looking(until, limit, seeds, 0, values)
    assert said in str(caught.value)
