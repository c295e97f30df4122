"""Every two-dimensional landscape: its known answers are answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab import problems


@pytest.fixture(params=problems.landscape_names())
def landscape(request):
    return problems.landscape(request.param)


def test_minimisers_are_stationary_and_have_the_minimal_value(landscape):
    for point in landscape.minimisers:
        with jax.enable_x64(True):
            value, grad = jax.value_and_grad(landscape.function)(jnp.array(point))
            assert value == pytest.approx(landscape.minimum, abs=1e-12)
            assert np.asarray(grad) == pytest.approx(0.0, abs=1e-6)


def test_nothing_in_the_domain_is_below_the_minimum(landscape):
    (left, right), (low, high) = landscape.domain
    x, y = np.meshgrid(np.linspace(left, right, 101), np.linspace(low, high, 101))
    values = landscape.function(np.stack([x, y]))
    assert values.shape == (101, 101)
    assert values.min() >= landscape.minimum


def test_start_and_minimisers_lie_in_the_domain(landscape):
    (left, right), (low, high) = landscape.domain
    for x, y in (landscape.start, *landscape.minimisers):
        assert left <= x <= right
        assert low <= y <= high


def test_the_start_is_no_answer(landscape):
    assert landscape.function(np.array(landscape.start)) > landscape.minimum + 0.1


def test_the_condition_number_is_the_ratio_of_the_curvatures():
    bowl = problems.ill_conditioned(7.0)
    curvatures = np.diag(jax.hessian(bowl.function)(jnp.zeros(2)))
    assert curvatures[1] / curvatures[0] == pytest.approx(7.0)


def test_a_condition_below_one_is_refused():
    with pytest.raises(ValueError, match=r"condition=0\.5 must be at least 1"):
        problems.ill_conditioned(0.5)


def test_an_unknown_landscape_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'rosenbrock'"):
        problems.landscape("rosenbrok")
