import pytest

from rankwise.data import Example, ExampleSplits, Limits, Message
from rankwise.data.splitting import Found, carve, cut, three_splits, without_leaks
from rankwise.errors import UsageError


def items(*numbers: int) -> tuple[Example, ...]:
    return tuple(Example((Message("user", f"q{n}"), Message("assistant", "a"))) for n in numbers)


def test_carving_is_a_partition_fixed_by_the_seed() -> None:
    everything = items(*range(50))
    one, again, other = (carve(Found(everything), seed) for seed in (0, 0, 1))
    assert one == again != other
    parts = (*one.train, *one.selection, *one.test)
    assert len(parts) == 50
    assert set(parts) == set(everything)


def test_limits_do_not_move_examples_between_splits() -> None:
    found = Found(items(*range(100)))
    small, large = (three_splits(found, Limits(n, n, n), seed=0) for n in (4, 8))
    for name in ("train", "selection", "test"):
        assert getattr(large, name)[:4] == getattr(small, name)


def test_given_splits_are_kept() -> None:
    found = Found(items(1, 2), items(3), items(4))
    splits = carve(found, seed=0)
    assert (splits.train, splits.selection, splits.test) == (found.train, found.selection, found.test)


def test_duplicates_leave_train_first_and_are_counted() -> None:
    splits = without_leaks(ExampleSplits(items(1, 2, 3, 4, 1), items(2, 5), items(3, 5)))
    assert (splits.train, splits.selection, splits.test) == (items(1, 4, 1), items(2), items(3, 5))
    assert splits.notes == (
        "2 train examples removed: exact duplicates of held-out examples",
        "1 selection examples removed: exact duplicates of held-out examples",
    )


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(UsageError, match="every selection example is also in a held-out split"):
        without_leaks(ExampleSplits(items(1), items(2), items(2)))


def test_a_split_short_of_its_limit_says_so() -> None:
    splits = cut(ExampleSplits(items(1, 2), items(3), items(4)), Limits(5, 1, None), seed=0)
    assert splits.notes == ("train has 2 of the 5 examples asked for",)


@pytest.mark.parametrize(("count", "found"), [(2, Found(items(1, 2))), (1, Found(items(1), None, items(2)))])
def test_too_few(count: int, found: Found) -> None:
    with pytest.raises(UsageError, match=f"too few examples: {count}"):
        carve(found, seed=0)
