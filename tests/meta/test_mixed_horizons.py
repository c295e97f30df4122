"""Meta-gradients of several horizons, mixed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.meta.quadratic import CURVATURE, DRAWS, HYPER, START, TARGETS, loss, numbers, outer_loss
from tests.paper import transcription


def mixed(opt, batches=TARGETS, **how):
    how = {"horizons": (2, 6, 12), "outer_batches": DRAWS[:3]} | how
    run = gl.meta.mixed_horizons(outer_loss, opt, loss, START, batches, **how)
    return run.value, run


@pytest.mark.parametrize("horizons", [(2, 6, 12), (5, 7, 12), (12,)])
@pytest.mark.parametrize("weights", [None, [0.7, 0.1, -0.4]])
def test_paper(horizons, weights):
    count = len(horizons)
    weights = weights and np.array(weights[:count])
    how = {"horizons": horizons, "outer_batches": DRAWS[:count]}
    with jax.enable_x64(True):
        grad, _ = jax.grad(mixed, has_aux=True)(gl.sgd(**HYPER), weights=weights, **how)
    paper = transcription("mixed_horizons")
    weights = np.full(count, 1 / count) if weights is None else weights
    expected = paper(
        TARGETS, START, CURVATURE, DRAWS[:count], horizons=horizons, weights=weights, **HYPER
    )
    np.testing.assert_allclose(numbers(grad), expected, rtol=1e-10)


def test_one_horizon_is_unroll():
    opt = gl.adam(0.1)
    _, run = mixed(opt, horizons=(12,), outer_batches=DRAWS[:1])
    plain = gl.meta.unroll(opt, loss, START, TARGETS)
    np.testing.assert_allclose(run.params, plain.params, rtol=1e-6)
    np.testing.assert_allclose(run.values[0], outer_loss(plain.params, DRAWS[0]), rtol=1e-5)


def test_the_outer_loss_sees_the_parameters_to_evaluate_with():
    opt = gl.average_iterates(gl.sgd(0.1), 0.9)
    _, run = mixed(opt, horizons=(6, 12), outer_batches=DRAWS[:2])
    averaged = gl.eval_params(opt, run.state, run.params)
    np.testing.assert_allclose(run.values[1], outer_loss(averaged, DRAWS[1]), rtol=1e-5)
    assert not np.allclose(run.values[1], outer_loss(run.params, DRAWS[1]), rtol=1e-3)


def test_a_mixture_varies_less_than_its_longest_horizon_and_is_less_short_sighted_than_its_first():
    def slopes(horizons):
        noise = 2 * jax.random.normal(jax.random.PRNGKey(0), (2000, 12, 3))

        def rate(noise):
            how = {"horizons": horizons, "outer_batches": jnp.zeros((len(horizons), 3))}
            return jax.grad(mixed, has_aux=True)(gl.sgd(0.05), noise[: horizons[-1]], **how)[
                0
            ].learning_rate

        return np.asarray(jax.jit(jax.vmap(rate))(noise))

    first, longest, mixture = slopes((1,)), slopes((12,)), slopes((1, 4, 8, 12))
    assert mixture.var() < 0.7 * longest.var()
    assert abs(mixture.mean() - longest.mean()) < abs(first.mean() - longest.mean())


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"horizons": ()}, ValueError, "horizons: at least one"),
        ({"horizons": (2, 2, 12)}, ValueError, "horizons: expected steps that increase"),
        ({"horizons": (0, 6, 12)}, ValueError, "horizons: expected an integer of at least 1"),
        ({"horizons": (1.5, 6, 12)}, TypeError, "horizons: expected an integer"),
        ({"horizons": (2, 6, 11)}, ValueError, "batches has 12 entries .* steps says 11"),
        ({"outer_batches": DRAWS}, ValueError, "outer_batches has 5 .* horizons says 3"),
        ({"weights": np.ones(2)}, ValueError, r"weights has shape \(2,\); there are 3"),
    ],
)
def test_bad_input_is_refused_by_name(how, error, message):
    with pytest.raises(error, match=message):
        mixed(gl.sgd(0.1), **how)
