"""AdamS: the paper, and a decay that follows the size of all gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests import agreement


def test_paper():
    agreement.assert_matches_paper(
        gl.adams(0.1, b2=0.99, weight_decay=0.3),
        "adams",
        learning_rate=0.1,
        b2=0.99,
        weight_decay=0.3,
        rtol=1e-9,  # the transcription subtracts parameters
        atol=1e-12,
    )


def test_without_decay_it_is_adam():
    for decay in (0.0, None):
        agreement.assert_same_numbers(gl.adams(0.1, weight_decay=decay), gl.adam(0.1))


def one_step(opt, gradients, params):
    return opt.update(gradients, opt.init(params), params)[0]


def test_the_decay_is_that_of_adamw_over_the_root_of_the_mean_second_moment():
    params = {"a": jnp.array([4.0, 4.0]), "b": jnp.array([2.0])}
    gradients = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([-3.0])}
    root = np.sqrt((9 + 0 + 9) / 3)
    ours = one_step(gl.adams(0.1, b2=0.5, weight_decay=0.5), gradients, params)
    other = one_step(gl.adamw(0.1, b2=0.5, weight_decay=0.5 / root), gradients, params)
    for name in params:
        np.testing.assert_allclose(ours[name], other[name], rtol=1e-6)


def test_smaller_gradients_decay_more_so_that_it_does_not_depend_on_their_unit():
    def run(unit):
        opt, p = gl.adams(0.1, weight_decay=0.1 * unit, eps=0.0), jnp.array([3.0, -1.0])
        state = opt.init(p)
        for _ in range(20):
            updates, state = opt.update(unit * (p - 1), state, p)
            p = p + updates
        return p

    np.testing.assert_allclose(run(1.0), run(1e-3), rtol=1e-4)


def test_while_all_gradients_are_zero_nothing_decays():
    p = jnp.ones(3)
    np.testing.assert_array_equal(one_step(gl.adams(0.1, weight_decay=0.5), jnp.zeros(3), p), 0)
    slope = jax.grad(lambda opt: jnp.sum(one_step(opt, jnp.zeros(3), p)))(gl.adams(0.1))
    assert all(np.isfinite(x) for x in jax.tree.leaves(slope))


def test_a_mask_and_a_schedule_are_those_of_adamw():
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    opt = gl.adams(0.1, weight_decay=lambda t: 0.5 * t, mask={"w": True, "b": False})
    plain, state = gl.adam(0.1), opt.init(params)
    plain_state = plain.init(params)
    for decays in (False, True):
        updates, state = opt.update(params, state, params)
        expected, plain_state = plain.update(params, plain_state)
        np.testing.assert_array_equal(updates["b"], expected["b"])
        assert np.any(updates["w"] != expected["w"]) == decays


def test_bad_input_names_argument_value_and_bound():
    with pytest.raises(ValueError, match=r"weight_decay=-1\.0 is outside \[0, inf\)"):
        gl.adams(0.1, weight_decay=-1.0)
    opt = gl.adams(0.1)
    with pytest.raises(ValueError, match="adams: weight_decay needs the parameters"):
        opt.update(jnp.ones(2), opt.init(jnp.ones(2)))
