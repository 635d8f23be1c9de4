import numpy as np
import pytest

from rankwise.errors import UsageError
from rankwise.stats.mcnemar import Paired, mcnemar


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
