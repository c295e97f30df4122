"""SWA and LAWA: the papers, what they are evaluated with, and that training does not notice."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.paper import averages as paper
from tests.reference.load import curves


def run(opt, gradients, params):
    """Updates and evaluation parameters of every step."""

    def step(carry, g):
        params, state = carry
        updates, state = opt.update(g, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (updates, gl.eval_params(opt, state, params))

    return jax.jit(lambda c: jax.lax.scan(step, c, gradients)[1])((params, opt.init(params)))


CASES = [
    ("swa", {"start": 7, "period": 3}),
    ("swa", {"start": 1, "period": 1}),
    ("lawa", {"window": 3, "period": 4}),
    ("lawa", {"window": 5, "period": 1}),
]


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_paper(name, settings):
    gradients, x = agreement.gradient_sequence(), agreement.start()
    rows = list(getattr(paper, name)(gradients, x, learning_rate=0.1, **settings))
    with jax.enable_x64(True):
        opt = getattr(gl, name)(gl.sgd(0.1), **settings)
        updates, means = run(opt, jnp.asarray(gradients), jnp.asarray(x))
    np.testing.assert_allclose(updates, [u for u, _ in rows], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(means, [m for _, m in rows], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("curve", curves("swa"), ids=lambda c: c.name)
def test_torch_averages_so_too(curve):
    settings = dict(curve.settings)
    opt = gl.swa(gl.sgd(settings.pop("learning_rate")), **settings)
    agreement.assert_matches_reference(opt, curve)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_the_parameters_move_as_without_it(name, settings):
    gradients = jnp.asarray(agreement.gradient_sequence((4,)), jnp.float32)
    opt = getattr(gl, name)(gl.adamw(0.1), **settings)
    updates, _ = run(opt, gradients, jnp.ones(4))
    np.testing.assert_array_equal(updates, run(gl.adamw(0.1), gradients, jnp.ones(4))[0])


def test_from_the_start_swa_is_the_mean_with_the_initial_parameters():
    gradients = jnp.asarray(agreement.gradient_sequence((4,)), jnp.float32)
    schedule = gl.average_iterates(gl.sgd(0.1), lambda t: (t + 1) / (t + 2))
    expected = run(schedule, gradients, jnp.ones(4))[1]
    found = run(gl.swa(gl.sgd(0.1), 0), gradients, jnp.ones(4))[1]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_window_of_one_is_the_last_checkpoint():
    gradients = jnp.ones((5, 2))
    means = run(gl.lawa(gl.sgd(1.0), window=1, period=2), gradients, jnp.zeros(2))[1]
    np.testing.assert_array_equal(means[:, 0], [-1, -2, -2, -4, -4])


@pytest.mark.parametrize("opt", [gl.swa(gl.sgd(0.25), 5), gl.lawa(gl.sgd(0.25), 3)])
def test_narrow_parameters_are_averaged_in_float32(opt):
    params = {"w": jnp.full(2, 4.0, jnp.bfloat16)}
    opt = gl.chain(gl.clip_by_global_norm(9.0), opt)
    state = opt.init(params)
    assert {x.dtype for x in jax.tree.leaves(state)} == {jnp.dtype("float32"), jnp.dtype("int32")}
    assert gl.eval_params(opt, state, params)["w"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(gl.eval_params(opt, state, params)["w"], params["w"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gl.swa(gl.sgd(0.1), -1), "start=-1: expected an integer of at least 0"),
        (lambda: gl.swa(gl.sgd(0.1), 5, 0), "period=0: expected an integer of at least 1"),
        (lambda: gl.lawa(gl.sgd(0.1), 0), "window=0: expected an integer of at least 1"),
        (lambda: gl.lawa(gl.sgd(0.1), 2, 0), "period=0: expected an integer of at least 1"),
    ],
)
def test_bad_input_names_argument_value_and_bound(make, message):
    with pytest.raises(ValueError, match=message):
        make()
    for opt in (gl.swa(gl.sgd(0.1), 1), gl.lawa(gl.sgd(0.1))):
        with pytest.raises(ValueError, match="update needs the parameters"):
            opt.update(jnp.ones(2), opt.init(jnp.ones(2)))


def test_a_mean_that_counts_one_iterate_too_many_is_seen(monkeypatch):
    monkeypatch.setattr(jnp, "maximum", lambda a, b: a + 1)
    with pytest.raises(AssertionError):
        test_paper("swa", {"start": 7, "period": 3})
