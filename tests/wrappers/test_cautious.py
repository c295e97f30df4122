"""Cautious optimizers: the paper, the authors' AdamW, and what the mask does."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests import agreement
from tests.paper.cautious import c_adamw
from tests.reference.load import curves


def test_paper():
    agreement.assert_matches_paper(
        gl.cautious(gl.sgd(0.1, momentum=0.9), floor=0.5),
        "cautious",
        learning_rate=0.1,
        momentum=0.9,
        floor=0.5,
    )


def test_the_authors_adamw_leaves_the_decay_unmasked():
    opt = gl.chain(gl.cautious(gl.scale_by_adam(), direction=True), gl.sgd(0.1, weight_decay=0.3))
    agreement.assert_matches_paper(opt, c_adamw, learning_rate=0.1, weight_decay=0.3)


@pytest.mark.parametrize("curve", curves("cautious"), ids=lambda c: c.name)
def test_the_authors_and_another_package(curve):
    settings = dict(curve.settings)
    rate, decay = settings.pop("learning_rate"), settings.pop("weight_decay", 0.0)
    if not curve.name.endswith("lion"):
        direction = gl.cautious(gl.scale_by_adam(**settings), direction=True)
        opt = gl.chain(direction, gl.sgd(rate, weight_decay=decay))
        agreement.assert_matches_reference(opt, curve)
        return
    opt = gl.cautious(gl.lion(rate, **settings, weight_decay=decay))
    agreement.assert_matches_reference(opt, curve)
    updates, _ = agreement.open_loop(opt, jnp.asarray(curve.gradients), jnp.asarray(curve.params))
    # Both of them count one coordinate more than agree.
    moved = np.sum(curve.updates != 0, axis=1, keepdims=True)
    np.testing.assert_allclose(curve.updates, updates * moved / (moved + 1), rtol=1e-5)


def test_where_everything_agrees_it_is_the_inner_optimizer():
    inner, g = gl.sgd(0.1), jnp.array([1.0, -2.0, 3.0])
    updates, state = gl.cautious(inner).update(g, gl.cautious(inner).init(g), g)
    np.testing.assert_array_equal(updates, inner.update(g, inner.init(g), g)[0])
    assert state.inner_state == inner.init(g)


def step(opt, gradients):
    state, updates = opt.init(gradients[0]), []
    for g in gradients:
        update, state = opt.update(g, state, g)
        updates.append(update)
    return updates[-1]


def test_no_coordinate_ever_goes_up_its_gradient():
    gradients = jnp.asarray(agreement.gradient_sequence((20,))[:12], jnp.float32)
    gradients = gradients.at[-1, ::2].multiply(-0.01)
    for inner in (gl.sgd(0.1, momentum=0.9), gl.adam(0.1), gl.lion(0.1)):
        plain, ours = step(inner, gradients), step(gl.cautious(inner), gradients)
        assert jnp.all(ours * gradients[-1] <= 0)
        assert jnp.any(plain * gradients[-1] > 0)


def test_what_is_left_grows_by_the_share_that_is_held_back_but_not_without_bound():
    gradients = jnp.array([[9.0, 9.0, 9.0, 9.0], [1.0, -1.0, -1.0, -1.0]])
    inner = gl.sgd(1.0, momentum=1.0)
    np.testing.assert_allclose(step(gl.cautious(inner), gradients), [-40.0, 0, 0, 0])
    np.testing.assert_allclose(step(gl.cautious(inner, floor=0.5), gradients), [-20.0, 0, 0, 0])
    against = jnp.array([[9.0], [-1.0]])
    np.testing.assert_array_equal(step(gl.cautious(inner), against), 0)


def test_the_share_is_that_of_each_array():
    opt = gl.cautious(gl.sgd(1.0, momentum=1.0))
    first = {"a": jnp.array([9.0, 9.0]), "b": jnp.array([9.0])}
    _, state = opt.update(first, opt.init(first), first)
    updates, _ = opt.update({"a": jnp.array([1.0, -1.0]), "b": jnp.array([1.0])}, state, first)
    np.testing.assert_allclose(updates["a"], [-20.0, 0.0])
    np.testing.assert_allclose(updates["b"], [-10.0])


def test_bad_input_names_argument_value_and_bound():
    with pytest.raises(ValueError, match=r"floor=0\.0 is outside \(0, 1\]"):
        gl.cautious(gl.sgd(0.1), 0.0)
    with pytest.raises(TypeError, match="cautious: expected a gradient transformation"):
        gl.cautious(gl.sgd)
    with pytest.raises(TypeError, match="direction=1"):
        gl.cautious(gl.sgd(0.1), direction=1)
