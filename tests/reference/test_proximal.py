"""Proximal operators, projections and the steps made of them are those of other packages."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.reference.load import values

OPERATORS = {found.name: found for found in values() if found.method.startswith("prox_")}
SETS = {found.name: found for found in values() if found.method.startswith("projection_")}
STEPS = {
    found.name: found
    for method in ("proximal_gradient", "projected_gradient", "mirror_descent")
    for found in values(method)
}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_has_the_same_values(name):
    stored = OPERATORS[name]
    operator, (value,) = getattr(gl.prox, stored.method), stored.settings.values()
    value = tuple(value) if isinstance(value, list) else value
    run = compiled_once(jax.vmap(lambda x: operator(x, value, stored.arrays["scaling"])))
    stored.compare({"results": run(stored.arrays["points"])})


@pytest.mark.parametrize("name", SETS)
def test_a_projection_has_the_same_values(name):
    stored = SETS[name]
    operator, sets = getattr(gl.projections, stored.method), dict(stored.arrays)
    points, results = sets.pop("points"), sets.pop("results")
    assert np.max(np.abs(points - results)) > 0.1
    run = compiled_once(jax.vmap(lambda x: operator(x, **sets)))
    stored.compare({"results": run(points)})


@pytest.mark.parametrize("name", STEPS)
def test_its_steps_are_the_same(name):
    stored = STEPS[name]
    features, labels = (jnp.asarray(stored.arrays[k]) for k in ("features", "labels"))
    more = {
        "projected_gradient": {"projection": gl.projections.projection_simplex},
        "mirror_descent": {"projection": gl.projections.kl_projection_simplex},
    }
    opt = getattr(gl, stored.method)(**stored.settings, **more.get(stored.method, {}))

    def step(carry, _):
        x, state = carry
        updates, state = opt.update(features.T @ (features @ x - labels), state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), gl.eval_params(opt, state, x)

    start = jnp.asarray(stored.arrays["x"][0])
    run = compiled_once(
        lambda x: jax.lax.scan(step, (x, opt.init(x)), length=len(stored.arrays["x"]) - 1)[1]
    )
    stored.compare({"x": np.concatenate([start[None], run(start)])})
