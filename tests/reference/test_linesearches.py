"""Line searches accept the steps of other packages, or such as meet the same conditions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.reference.load import values


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def rays(stored):
    """The objective, the points, and the directions."""
    given = {k: jnp.asarray(v) for k, v in stored.arrays.items()}

    def loss(x):
        each = jax.nn.softplus(-given["labels"] * (given["features"] @ x))
        return jnp.mean(each) + 0.05 * x @ x

    directions = jax.vmap(lambda x, scale: -scale * jax.grad(loss)(x))
    return loss, given["points"], directions(given["points"], given["scales"])


def accepted(stored):
    loss, points, directions = rays(stored)
    search = getattr(gl, stored.method)(**stored.settings)

    def one(x, direction):
        value, grad = jax.value_and_grad(loss)(x)
        given = {"value": value, "grad": grad, "value_fn": loss}
        return search.update(direction, search.init(x), x, **given)[1].learning_rate

    return np.asarray(compiled_once(jax.vmap(one))(points, directions))


def test_backtracking_accepts_the_same_steps():
    (stored,) = values("scale_by_backtracking_linesearch")
    assert len(set(stored.arrays["steps"])) > 4
    stored.compare({"steps": accepted(stored)})


def meets_the_conditions(stored, steps):
    """Whether each step is one that Hager and Zhang accept."""
    loss, points, directions = rays(stored)
    delta, sigma = stored.settings["slope_rtol"], stored.settings["curv_rtol"]

    def one(x, u, step):
        def on(t):
            return loss(x + t * u)

        (value, slope), (new, end) = jax.value_and_grad(on)(0.0), jax.value_and_grad(on)(step)
        wolfe = new <= value + delta * step * slope
        nearly = (end <= (2 * delta - 1) * slope) & (new <= value + 1e-6 * jnp.abs(value))
        return (end >= sigma * slope) & (wolfe | nearly)

    return np.asarray(compiled_once(jax.vmap(one))(points, directions, steps))


def test_hager_and_zhangs_conditions_hold_where_the_package_stops_elsewhere():
    (stored,) = values("scale_by_hager_zhang_linesearch")
    theirs, ours = stored.arrays["steps"], accepted(stored)
    assert np.all(meets_the_conditions(stored, ours))
    kept = meets_the_conditions(stored, theirs)
    assert np.all(theirs[~kept] == 1)  # the step that it was given
    same = np.isclose(ours, theirs, rtol=stored.rtol)
    assert np.sum(same) >= 3
    assert np.any(theirs[same] != 1)
