import numpy as np
import pytest
from docs.simulation import NOISES, simulate


def slack(p, replicates):
    return 3.3 * np.sqrt(p * (1 - p) / replicates)  # 1 in 1000 per cell and side


def test_a_cell_does_not_depend_on_its_neighbors():
    alone = simulate([5], [48], ["small"], [True], replicates=50)
    among = simulate([3, 5], [48, 96], ["none", "small"], [True], replicates=50)
    assert alone[0] in among
    assert alone == simulate([5], [48], ["small"], [True], replicates=50)
    assert alone != simulate([5], [48], ["small"], [True], replicates=50, seed=1)


def test_intervals_cover_reduced():
    cells = simulate(replicates=400)
    assert len(cells) == 3 * 3 * len(NOISES) * 2
    for cell in cells:
        assert cell.coverage >= 0.93 - slack(0.93, 400), cell
        assert cell.false_matches <= 0.05 + slack(0.05, 400), cell
    pooled = np.mean([c.coverage for c in cells if c.seeds >= 5])
    assert 0.94 <= pooled <= 0.96


@pytest.mark.statistics
def test_three_seeds_with_dominant_noise_need_the_guarded_degrees_of_freedom():
    # Plain Satterthwaite covers 91.9 % here; the guard is what this cell is for.
    (cell,) = simulate([3], [96], ["dominant"], [True], replicates=8000)
    assert 0.94 <= cell.coverage <= 0.96


@pytest.mark.statistics
@pytest.mark.timeout(600)
def test_intervals_cover():
    cells = simulate(seeds=(3, 5, 8), examples=(48, 96, 256), replicates=4000)
    assert {cell.noise for cell in cells} == {"none", "interaction", "small", "equal", "dominant"}
    assert {cell.paired for cell in cells} == {True, False}
    for cell in cells:
        assert cell.replicates >= 2000
        assert cell.coverage >= 0.93, cell
        assert cell.seeds < 5 or cell.coverage <= 0.975, cell
        assert cell.false_matches <= 0.05, cell
