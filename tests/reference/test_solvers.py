"""Solvers go through the points of other packages, and find their roots and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.reference.load import values

ANDERSON = {found.name: found for found in values("anderson_acceleration")}
ROOTS = {found.name: found for found in values("bisection")}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def points(make, count, fn, start):
    """What is found after each number of steps, from the start on; nothing stops it earlier."""
    run = compiled_once(
        lambda x: [make(k).run(fn, x).params for k in range(1, count)],
    )
    return np.stack([start, *run(jnp.asarray(start))])


@pytest.mark.parametrize("name", ANDERSON)
def test_anderson_acceleration_goes_through_the_same_points(name):
    stored = ANDERSON[name]
    given = {k: jnp.asarray(v) for k, v in stored.arrays.items()}

    def make(steps):
        return gl.solvers.anderson_acceleration(**stored.settings, tol=0.0, max_steps=steps)

    def mapped(x):
        return jnp.tanh(given["matrix"] @ x + given["shift"])

    x = stored.arrays["x"]
    stored.compare({"x": points(make, len(x), mapped, x[0])})


@pytest.mark.parametrize("name", ROOTS)
def test_bisection_halves_the_same_brackets(name):
    stored = ROOTS[name]
    solver, sign = gl.solvers.bisection(**stored.settings), float(stored.arrays["sign"])

    def root(a):
        found = solver.run(lambda x, a: sign * (x**3 + x - a), jnp.full_like(a, 4.0), a)
        return jnp.sum(found.params), (found.params, found.steps)

    run = compiled_once(jax.grad(root, has_aux=True))
    slopes, (roots, _) = run(jnp.asarray(stored.arrays["a"]))
    stored.compare({"roots": roots, "derivatives": slopes})


def test_block_coordinate_descent_goes_through_the_same_points():
    (stored,) = values("block_coordinate_descent")
    given = {k: jnp.asarray(v) for k, v in stored.arrays.items()}

    def prox_lasso(x, strength, scaling):
        return jnp.sign(x) * jnp.maximum(jnp.abs(x) - strength * scaling, 0)

    def make(sweeps):
        return gl.solvers.block_coordinate_descent(
            prox_lasso, **stored.settings, tol=0.0, max_steps=sweeps
        )

    def objective(x):
        return jnp.mean((given["features"] @ x - given["labels"]) ** 2) / 2

    x = stored.arrays["x"]
    stored.compare({"x": points(make, len(x), objective, x[0])})


def test_a_minimum_has_the_same_derivatives():
    (stored,) = values("minimize")
    given = {k: jnp.asarray(v) for k, v in stored.arrays.items()}
    solver = gl.solvers.minimize(gl.sgd(**stored.settings), tol=1e-12, max_steps=2000)

    def each(x, rows):
        return jax.nn.softplus(-given["labels"][rows] * (given["features"][rows] @ x))

    def inner(x, weights, strength):
        return jnp.sum(weights * each(x, slice(14))) / 14 + strength / 2 * x @ x

    def outer(weights, strength):
        x = solver.run(inner, jnp.zeros(6), weights, strength).params
        return jnp.mean(each(x, slice(14, None))) + strength**2 / 10, x

    run = compiled_once(jax.grad(outer, (0, 1), has_aux=True))
    (by_weights, by_strength), x = run(given["weights"], given["strength"])
    found = {"grad_weights": by_weights, "grad_strength": by_strength, "solution": x}
    stored.compare(found)
