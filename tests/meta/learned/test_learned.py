"""Learned optimizers are optimizers like others, whose weights are leaves."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.agreement import assert_matches_paper, gradient_sequence, open_loop, start

MLP = gl.meta.mlp_weights(jax.random.key(0), 6)
RNN = gl.meta.rnn_weights(jax.random.key(1), 5)
RULES = {"learned_mlp": (gl.meta.learned_mlp, MLP), "learned_rnn": (gl.meta.learned_rnn, RNN)}


def shaken(weights):
    """Weights without a zero."""
    return jax.tree.map(lambda x: x + 0.1 * jnp.cos(jnp.arange(x.size).reshape(x.shape)), weights)


@pytest.mark.parametrize("name", RULES)
def test_the_numbers_are_the_papers(name):
    make, weights = RULES[name]
    weights = shaken(weights)
    assert_matches_paper(make(weights), name, weights=weights)
    if name == "learned_mlp":
        settings = {"decays": (0.5, 0.9, 0.95), "b2": 0.9, "magnitude_rate": 1.0, "eps": 0.1}
    else:
        settings = {"log_range": 2.0}
    opt = make(weights, 0.1, **settings)
    assert_matches_paper(opt, name, weights=weights, learning_rate=0.1, **settings)


@pytest.mark.parametrize("name", RULES)
def test_weight_decay_and_schedules_are_those_of_every_optimizer(name):
    make, weights = RULES[name]
    params, gradient = jnp.ones(3), jnp.array([1.0, -2.0, 0.0])
    plain, decayed, scheduled = (
        make(weights, rate, weight_decay=decay)
        for rate, decay in ((0.01, None), (0.01, 0.1), (lambda t: 0.01, None))
    )
    first, other, third = (
        opt.update(gradient, opt.init(params), params)[0] for opt in (plain, decayed, scheduled)
    )
    np.testing.assert_allclose(other, first - 0.01 * 0.1 * params, rtol=1e-5)
    np.testing.assert_allclose(third, first, rtol=1e-6)


def test_the_networks_update_does_not_depend_on_the_losses_scale():
    opt = gl.meta.learned_mlp(shaken(MLP))
    with jax.enable_x64(True):
        gradients, params = jnp.asarray(gradient_sequence()[:20]), jnp.asarray(start())
        one, other = (open_loop(opt, scale * gradients, params)[0] for scale in (1.0, 1e-6))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_weights_are_leaves_and_training_is_differentiable_in_them():
    for make, weights in RULES.values():
        opt = make(weights)
        assert {np.shape(x) for x in jax.tree.leaves(opt)} >= {x.shape for x in weights.values()}

        def after(opt):
            def body(carry, _):
                x, state = carry
                updates, state = opt.update(2 * x, state, x)
                return (optax.apply_updates(x, updates), state), None

            x = jnp.array([1.0, -2.0])
            return jnp.sum(jax.lax.scan(body, (x, opt.init(x)), None, length=4)[0][0] ** 2)

        gradient = compiled_once(jax.grad(after))(opt)
        assert jax.tree.structure(gradient) == jax.tree.structure(opt)
        for path, x in gl.hyperparameters(gradient).items():
            assert np.all(np.isfinite(x)), path
        assert any(np.any(x != 0) for x in jax.tree.leaves(gradient.weights))


def test_weights_of_another_shape_are_refused():
    for make, weights in RULES.values():
        name = make.__name__
        first = next(iter(weights))
        missing = {key: x for key, x in weights.items() if key != first}
        with pytest.raises(ValueError, match=f"{name}: weights needs the arrays"):
            make(missing)
        with pytest.raises(ValueError, match="weights needs the arrays"):
            make(weights | {"more": jnp.ones(2)})
        with pytest.raises(ValueError, match=rf"weights\['{first}'\] has the shape \(3, 3\)"):
            make(weights | {first: jnp.ones((3, 3))})
        with pytest.raises(ValueError, match="has the shape"):
            gl.replace(make(weights), {f"weights['{first}']": 0.5})
        with pytest.raises(ValueError, match="is NaN"):
            make(weights | {first: weights[first] * jnp.nan})
        with pytest.raises(ValueError, match=r"(?s)weights=.* is NaN"):
            gl.replace(make(weights), {f"weights['{first}']": weights[first] * jnp.nan})
    with pytest.raises(ValueError, match=r"decays=\(0.9,\) are not three"):
        gl.meta.learned_mlp(MLP, decays=(0.9,))


def test_an_array_is_shown_by_its_shape():
    shown = repr(gl.meta.learned_mlp(MLP))
    assert "'w0': <float32[21,6]>" in shown
    assert "learning_rate=0.01" in shown
    assert len(shown) < 700


@pytest.mark.parametrize("name", RULES)
def test_the_weights_that_are_shipped_train(name):
    make = RULES[name][0]
    opt = make()

    def loss(x):
        return jnp.sum(jnp.array([1.0, 0.3, 0.1]) * x**2)

    def body(carry, _):
        x, state = carry
        updates, state = opt.update(jax.grad(loss)(x), state, x)
        return (optax.apply_updates(x, updates), state), None

    x = jnp.array([0.5, -1.0, 0.7])
    run = compiled_once(lambda x: jax.lax.scan(body, (x, opt.init(x)), None, length=100)[0][0])
    assert loss(run(x)) < 0.2 * loss(x)
    assert sum(np.size(leaf) for leaf in jax.tree.leaves(opt)) * 4 < 50_000


@pytest.mark.parametrize("name", RULES)
def test_what_is_saved_comes_back_equal(name, tmp_path):
    make, weights = RULES[name]
    opt = make(weights, 0.03, weight_decay=0.1)
    gl.meta.save_learned(tmp_path / "opt", opt)
    assert gl.meta.load_learned(tmp_path / "opt") == opt
    gl.meta.save_learned(tmp_path / "opt", make(weights))  # in its place
    assert gl.meta.load_learned(tmp_path / "opt") == make(weights)


def test_what_cannot_be_saved_is_named(tmp_path, monkeypatch):
    path = tmp_path / "opt"
    for opt, words in (
        (gl.adam(0.1), "adam is no learned optimizer"),
        (gl.meta.learned_rnn(RNN, gl.linear_schedule(1.0, 0.0, 9)), "learning_rate=.*schedule"),
        (gl.meta.learned_rnn(RNN, weight_decay=0.1, mask=lambda p: True), "mask is code"),
    ):
        with pytest.raises(TypeError, match=words):
            gl.meta.save_learned(path, opt)
    with pytest.raises(FileNotFoundError, match="no learned optimizer at"):
        gl.meta.load_learned(path)
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    for call in (lambda: gl.meta.save_learned(path, gl.meta.learned_rnn(RNN)),
                 lambda: gl.meta.load_learned(path)):  # fmt: skip
        with pytest.raises(ImportError, match=r"gradlab\[checkpoints\]"):
            call()
