"""Cautious weight decay: the paper, what it leaves alone, and its derivative at zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests import agreement


def test_paper():
    agreement.assert_matches_paper(
        gl.chain(gl.cautious_weight_decay(0.3), gl.sgd(0.1)),
        "cautious_weight_decay",
        learning_rate=0.1,
        weight_decay=0.3,
    )


def apply(opt, u, p):
    return opt.update(u, opt.init(p), p)[0]


def test_where_signs_agree_it_is_plain_decay_and_elsewhere_there_is_none():
    opt, p = gl.cautious_weight_decay(0.5), jnp.array([4.0, -4.0, 4.0, -4.0, 4.0])
    u = jnp.array([1.0, 1.0, -1.0, -1.0, 0.0])
    np.testing.assert_array_equal(apply(opt, u, p), [3.0, 1.0, -1.0, -3.0, 2.0])


def test_without_decay_nothing_changes():
    agreement.assert_same_numbers(
        gl.chain(gl.cautious_weight_decay(0.0), gl.adam(0.1)), gl.adam(0.1)
    )


def test_a_stationary_point_of_the_loss_stays_one_which_plain_decay_moves():
    # Minimum at 2: from above, decay and step agree; below, the step is alone.
    def end(decay):
        opt, p = gl.chain(decay, gl.sgd(0.1)), jnp.array(3.0)
        state = opt.init(p)
        for _ in range(200):
            updates, state = opt.update(p - 2.0, state, p)
            p = p + updates
        return float(p)

    assert end(gl.cautious_weight_decay(0.01)) == pytest.approx(2.0, abs=0.005)
    assert end(gl.add_decayed_weights(0.25)) == pytest.approx(1.6, abs=1e-3)


def test_the_mask_and_a_schedule_are_those_of_other_decays():
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    opt = gl.cautious_weight_decay(lambda t: 0.5 * t, mask={"w": True, "b": False})
    state = opt.init(params)
    for decay in (0.0, 0.5):
        assert float(gl.current(opt, state)["weight_decay"]) == decay
        updates, state = opt.update(params, state, params)
        np.testing.assert_array_equal(updates["w"], 1 + decay)
        np.testing.assert_array_equal(updates["b"], 1)
    with pytest.raises(ValueError, match="mask: selects none"):
        gl.cautious_weight_decay(0.5, mask=lambda p: jax.tree.map(lambda _: False, p)).init(params)


def test_a_weight_at_zero_has_the_derivative_of_both_sides():
    opt = gl.cautious_weight_decay(0.5)
    slope = jax.vmap(jax.grad(lambda p, u: apply(opt, u, p)))
    np.testing.assert_array_equal(
        slope(jnp.array([0.0, 0.0, 1.0, -1.0]), jnp.array([1.0, 0.0, 1.0, 1.0])),
        [0.25, 0.5, 0.5, 0.0],
    )


def test_bad_input_names_argument_value_and_bound():
    with pytest.raises(ValueError, match=r"weight_decay=-1\.0 is outside \[0, inf\)"):
        gl.cautious_weight_decay(-1.0)
    opt = gl.cautious_weight_decay(0.1)
    with pytest.raises(ValueError, match="cautious_weight_decay: update needs the parameters"):
        opt.update(jnp.ones(2), opt.init(jnp.ones(2)))
