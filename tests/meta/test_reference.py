"""The numbers of other packages for the same derivatives, as they are stored."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import core
from gradlab.testing._subject import compiled_once
from tests.reference.load import values

UNROLLED = {found.name: found for found in values("unroll")}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def without(settings, *names):
    return {name: value for name, value in settings.items() if name not in names}


def assert_close(stored, found):
    """Everything that was found is what is stored; sizes are those of the whole array."""
    for name, ours in found.items():
        theirs = stored.arrays[name]
        scale = np.max(np.abs(theirs))
        np.testing.assert_allclose(
            ours / scale, theirs / scale, rtol=0, atol=stored.rtol, err_msg=name
        )


def unrolled(opt, given):
    """The outer loss after training, the last parameters, and the derivatives by all inputs."""
    names = ("params", "weights", "strength")
    features, labels, rows = (jnp.asarray(given[k]) for k in ("features", "labels", "rows"))

    def value(opt, params, weights, strength):
        def loss(x, now):
            each = jax.nn.softplus(-labels[now] * (features[now] @ x))
            return jnp.sum(weights[now] * each) / 8 + strength / 2 * x @ x

        last = gl.meta.unroll(opt, loss, params, rows).params
        return jnp.mean(jax.nn.softplus(-labels[14:] * (features[14:] @ last))), last

    run = compiled_once(jax.value_and_grad(value, argnums=(0, 1, 2, 3), has_aux=True))
    (value, last), (by_opt, *by_rest) = run(opt, *(given[k] for k in names))
    found = dict(zip(names, by_rest, strict=True)) | gl.hyperparameters(by_opt)
    found = {f"grad_{k}": g for k, g in found.items() if f"grad_{k}" in given}
    return {"value": value, "last": last, **found}


@pytest.mark.parametrize("name", [k for k, stored in UNROLLED.items() if stored.agrees])
def test_unrolled_hypergradients_are_those_of_packages_for_torch(name):
    stored = UNROLLED[name]
    opt = getattr(gl, stored.settings["optimizer"])(**without(stored.settings, "optimizer"))
    found = unrolled(opt, stored.arrays)
    # Each derivative that the package gave has been compared.
    assert found.keys() == {k for k in stored.arrays if k in ("value", "last") or k[:5] == "grad_"}
    assert_close(stored, found)


def test_where_the_package_has_eps_elsewhere_that_is_all_there_is():
    stored = UNROLLED["higher_unroll_adam_eps"]
    b1, b2, eps, rate = (stored.settings[k] for k in ("b1", "b2", "eps", "learning_rate"))

    def init(x):
        return jnp.zeros([]), jnp.zeros_like(x), jnp.zeros_like(x)

    def update(g, state, params=None):
        count, m, v = state[0] + 1, b1 * state[1] + (1 - b1) * g, b2 * state[2] + (1 - b2) * g**2
        step = rate * jnp.sqrt(1 - b2**count) / (1 - b1**count)
        return -step * m / (jnp.sqrt(v) + eps), (count, m, v)

    moved = core.adopt_transform(optax.GradientTransformation(init, update), "test")
    assert_close(stored, unrolled(moved, stored.arrays))
    ours = unrolled(gl.adam(**without(stored.settings, "optimizer")), stored.arrays)
    with pytest.raises(AssertionError, match="grad_learning_rate"):
        assert_close(stored, {"grad_learning_rate": ours["grad_learning_rate"]})
