import numpy as np
import pytest

from rankwise.errors import UsageError
from rankwise.stats.mcnemar import Paired, mcnemar, paired_over_seeds


def test_by_hand():
    # 1 against 5 discordant examples: 2 * (1 + 6) / 2**6.
    arm = [True] * 4 + [True] + [False] * 5
    reference = [True] * 4 + [False] + [True] * 5
    assert mcnemar(arm, reference) == Paired(1, 5, pytest.approx(14 / 64))


def test_agreement_is_no_evidence():
    assert mcnemar([True, False], [True, False]).p == 1


def test_shapes_are_checked():
    with pytest.raises(UsageError, match="same examples"):
        mcnemar(np.ones(3), np.ones(4))


def test_over_seeds_a_question_counts_for_the_side_that_knows_it_more_often():
    arm = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 1, 1]])
    reference = np.array([[1, 0, 0, 0, 1], [1, 1, 0, 0, 1], [1, 1, 0, 1, 1]])
    found = paired_over_seeds(arm, reference)
    # 1 = 1; 1/2 < 2/3; 0 = 0; 1 > 1/3; 1/2 < 1
    assert (found.only_arm, found.only_reference) == (1, 2)
    assert found.p == 1.0
    one = paired_over_seeds(arm[:1], reference[:1])
    assert one == mcnemar(arm[0], reference[0])
    with pytest.raises(UsageError, match="same examples"):
        paired_over_seeds(arm, reference[:, :4])
