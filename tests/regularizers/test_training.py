"""Penalties in training: hypergradients, sweeps, one trace, and a place in the catalogue."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equinox import tree_pformat

import gradlab as gl
from gradlab import catalog

PENALTIES = {
    "norm_loss": (gl.norm_loss(0.1), lambda penalty, params, start: penalty(params)),
    "spectral_regularization": (
        gl.spectral_regularization(0.02, 1.7),
        lambda penalty, params, start: penalty(params),
    ),
    "wasserstein_to_init": (
        gl.wasserstein_to_init(0.1),
        lambda penalty, params, start: penalty(params, penalty.init(start)),
    ),
    "spectral_decoupling": (
        gl.spectral_decoupling(0.1, 0.5),
        lambda penalty, params, start: penalty(outputs(params)),
    ),
    "hessian_alignment": (
        gl.hessian_alignment(0.1, 0.2),
        lambda penalty, params, start: penalty(
            params["head"],
            lambda head: jnp.mean(losses(params | {"head": head}).reshape(3, -1), axis=1),
        ),
    ),
}
FEATURES = np.random.default_rng(0).normal(size=(9, 4))
TARGETS = np.random.default_rng(1).normal(size=9)


def parameters(dtype=None):
    draw = np.random.default_rng(2)
    return {
        "kernel": jnp.asarray(draw.normal(size=(4, 3)), dtype),
        "head": jnp.asarray(draw.normal(size=(3,)), dtype),
    }


def outputs(params):
    return jnp.tanh(FEATURES @ params["kernel"]) @ params["head"]


def losses(params):
    return jnp.square(outputs(params) - TARGETS)


def final_loss(name, penalty):
    """The loss after ten steps of Adam on loss and penalty."""
    start, opt, value = parameters(), gl.adam(0.02), PENALTIES[name][1]

    def step(carry, _):
        params, state = carry
        slope = jax.grad(lambda p: jnp.mean(losses(p)) + value(penalty, p, start))(params)
        updates, state = opt.update(slope, state, params)
        return (gl.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (start, opt.init(start)), length=10)
    return jnp.mean(losses(params))


@pytest.mark.parametrize("name", PENALTIES)
def test_hypergradients_of_penalties_equal_finite_differences(name):
    with jax.enable_x64(True):
        penalty = PENALTIES[name][0]
        run = jax.jit(lambda p: final_loss(name, p))
        slopes = gl.hyperparameters(
            jax.jit(jax.grad(lambda p: final_loss(name, p)))(gl.as_arrays(penalty))
        )
        for path, x in gl.hyperparameters(penalty).items():
            h = 1e-6
            ahead, behind = (float(run(gl.replace(penalty, {path: x + s * h}))) for s in (1, -1))
            assert abs(ahead - behind) > 1e-10, f"{path} has no effect"
            np.testing.assert_allclose(slopes[path], (ahead - behind) / (2 * h), rtol=1e-5)


def test_a_sweep_of_penalty_weights_is_an_array_axis_and_one_trace():
    traces = 0

    def run(penalty):
        nonlocal traces
        traces += 1
        return final_loss("norm_loss", penalty)

    penalties = [gl.norm_loss(weight) for weight in (0.0, 0.1, 1.0)]
    single = jax.jit(run)
    looped = [float(single(penalty)) for penalty in penalties]
    assert traces == 1
    assert len(set(looped)) == 3
    np.testing.assert_allclose(jax.vmap(run)(gl.stack(penalties)), looped, rtol=1e-5)


def test_a_penalty_is_static_metadata_and_changed_by_name():
    penalty = gl.spectral_regularization(0.1)
    assert penalty == gl.replace(gl.spectral_regularization(0.2), weight=0.1)
    assert hash(penalty) == hash(gl.spectral_regularization(0.1))
    assert repr(penalty) == "spectral_regularization(weight=0.1, power=2.0)"
    assert tree_pformat(penalty) == repr(penalty)
    jitted = jax.jit(lambda penalty, x: penalty(x), static_argnums=0)
    np.testing.assert_allclose(jitted(penalty, jnp.eye(2) * 2), 0.9, rtol=1e-4)
    with pytest.raises(ValueError, match=r"weight=-1\.0 is outside"):
        gl.replace(penalty, weight=-1.0)


def test_the_catalogue_makes_penalties_by_name():
    assert gl.from_name("norm_loss", weight=0.2) == gl.norm_loss(0.2)
    room = [entry for entry in catalog.entries() if entry.room == "regularizers"]
    assert {entry.kind for entry in room} == {"regularizer"}
    assert {"M036", "M049", "M082", "M101", "M103", "M104"} == {x for e in room for x in e.ids}
    assert catalog.get("clip_by_global_norm").kind == "transformation"
    with pytest.raises(TypeError, match="did you mean 'weight'"):
        gl.from_name("norm_loss", wieght=0.2)
