"""Paths over landscapes start where the landscape says, and the best rate's path is kept."""

import numpy as np
import pytest

from gradlab import problems
from gradlab.bench import trajectories
from gradlab.bench.study import parse_study

NAMES = ("ill_conditioned", "rosenbrock")
STEPS = 60
RATES = (0.01, 0.1, 0.3, 1.0)


@pytest.fixture(scope="module")
def study():
    problem = {"name": "digits_logistic", "horizon": 10, "target": 1.0, "target_origin": "none"}
    return parse_study(
        {
            "name": "paths",
            "baseline": "adamw",
            "seeds": [0],
            "trajectories": {"landscapes": list(NAMES), "steps": STEPS, "rates": list(RATES)},
            "problems": [problem],
            "optimizers": [{"name": "adamw"}],
        }
    )


@pytest.fixture(scope="module")
def paths(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("paths") / "new" / "000.parquet"
    trajectories.record(study, study.optimizers[0], path)
    return trajectories.read(path, "adamw")


def test_every_landscape_has_one_path_from_its_start(paths):
    assert [path.landscape for path in paths] == list(NAMES)
    for path in paths:
        start = problems.landscape(path.landscape).start
        assert path.points.shape == (STEPS + 1, 2)
        assert path.points.dtype == path.values.dtype == np.float64
        np.testing.assert_allclose(path.points[0], start, rtol=1e-6)
        assert path.optimizer == "adamw"


def test_values_are_those_of_the_landscape_at_the_points(paths):
    for path in paths:
        function = problems.landscape(path.landscape).function
        values = [float(function(point)) for point in path.points[:: STEPS // 4]]
        np.testing.assert_allclose(path.values[:: STEPS // 4], values, rtol=2e-4, atol=1e-5)


def test_the_path_kept_is_of_a_listed_rate_and_goes_down(paths):
    for path in paths:
        assert path.learning_rate in RATES
        assert path.values[-1] < 0.5 * path.values[0]


def test_no_other_rate_ends_lower(study, paths, tmp_path):
    for rate in RATES:
        wanted = study.trajectories.model_copy(update={"rates": (rate,)})
        single = study.model_copy(update={"trajectories": wanted})
        trajectories.record(single, study.optimizers[0], tmp_path / "one.parquet")
        for kept, other in zip(
            paths, trajectories.read(tmp_path / "one.parquet", "x"), strict=True
        ):
            assert kept.values[-1] <= other.values[-1] * (1 + 1e-3)
