import numpy as np
import pytest

import flax_models as models
from benchmarks.cases import Network
from benchmarks.growth import costs, slope_of


def test_the_slope_is_the_power():
    sizes = [2, 4, 8]
    assert slope_of(sizes, [3 * size**2 for size in sizes]) == pytest.approx(2)
    assert slope_of(sizes, np.array([5.0, 5.0, 5.0])) == pytest.approx(0)


def test_a_larger_batch_takes_more_memory():
    cases = [Network(models.MLP((64, 10)), (size, 784), classes=10) for size in (16, 8192)]
    seconds, mebibytes = costs(cases, blocks=1)
    assert (seconds > 0).all()
    assert mebibytes[1] > 4 * mebibytes[0] > 0
