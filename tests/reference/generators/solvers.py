"""Points, roots, solutions and their derivatives, from solvers of jaxopt and SciPy."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import scipy.optimize

from . import implicit, problems
from .case import Arrays, Case

jax.config.update("jax_enable_x64", True)

MAP = (
    "The fixed point of T(x) = tanh(matrix @ x + shift), random (seed {seed}), from x[0]; x[k] is "
    "the point after k steps."
)
ROOTS = (
    "The roots in x of sign * (x**3 + x - a) between lower and upper, one for each of a; "
    "derivatives is that of each by its a."
)
LASSO = (
    "least squares, |features @ x - labels|**2 / 40, plus strength * |x|_1, with columns of length "
    "one, random (seed {seed}), from x[0]; x[k] is the point after k sweeps."
)


def _map() -> Arrays:
    rng = np.random.default_rng([problems.SEED, 65])
    matrix = problems.short(0.35 * rng.standard_normal((6, 6)))
    return {"matrix": matrix, "shift": problems.short(rng.standard_normal(6))}


def _scipy_anderson(beta: float, history: int, ridge: float) -> tuple[str, Arrays]:
    given, steps = _map(), 10
    x = [np.zeros(6)]

    def residual(x: np.ndarray) -> np.ndarray:
        return np.tanh(given["matrix"] @ x + given["shift"]) - x

    scipy.optimize.anderson(
        residual,
        x[0],
        iter=steps,
        alpha=beta,
        w0=ridge**0.5,
        M=history,
        line_search=None,
        callback=lambda place, _: x.append(np.array(place)),
    )
    return MAP.format(seed=problems.SEED), given | {"x": np.stack(x)}


def _jaxopt_anderson(beta: float, points: int, steps: int) -> tuple[str, Arrays]:
    given = _map()

    def mapped(x: jax.Array) -> jax.Array:
        return jnp.tanh(given["matrix"] @ x + given["shift"])

    solver = jaxopt.AndersonAcceleration(
        mapped, history_size=points, mixing_frequency=points, beta=beta, ridge=0.0
    )
    params, x = jnp.zeros(6), []
    state = solver.init_state(params)
    for step in range(steps):
        params, state = solver.update(params, state)
        # What it returns is T of the point that it was at.
        x.append(np.asarray(state.params_history[step % points]))
    return MAP.format(seed=problems.SEED), given | {"x": np.stack(x)}


def _bisection(sign: float, settings: dict[str, Any]) -> tuple[str, Arrays]:
    given = {"sign": np.array(sign), "a": np.array([-1.5, -0.25, 0.4, 2.0, 9.0])}
    solver = jaxopt.Bisection(
        lambda x, a: sign * (x**3 + x - a),
        settings["lower"],
        settings["upper"],
        maxiter=settings["max_steps"] + 1,
        tol=settings["tol"],
        check_bracket=False,
    )
    found, steps, slopes = [], [], []
    for a in given["a"]:
        root, state = solver.run(None, a)
        found.append(root)
        steps.append(state.iter_num)
        slopes.append(jax.grad(lambda a: solver.run(None, a).params)(a))
    roots = {"roots": np.array(found), "steps": np.array(steps), "derivatives": np.array(slopes)}
    return ROOTS, given | roots


def lasso_data() -> Arrays:
    rng = np.random.default_rng([problems.SEED, 66])
    features = rng.standard_normal((20, 6))
    features /= np.linalg.norm(features, axis=0)
    return {"features": features, "labels": problems.short(rng.standard_normal(20))}


def _block_coordinate_descent(strength: float) -> tuple[str, Arrays]:
    given = lasso_data()
    solver = jaxopt.BlockCoordinateDescent(jaxopt.objective.least_squares, jaxopt.prox.prox_lasso)
    data = tuple(jnp.asarray(a) for a in given.values())
    params = jnp.asarray(problems.initial_params((6,)))
    state, x = solver.init_state(params, strength, data), [np.asarray(params)]
    for _ in range(8):
        params, state = solver.update(params, state, strength, data)
        x.append(np.asarray(params))
    return LASSO.format(seed=problems.SEED), given | {"x": np.stack(x)}


def _minimize(rate: float) -> tuple[str, Arrays]:
    given = {name: jnp.asarray(value) for name, value in implicit.data().items()}
    inner, outer = implicit.objectives(jax.nn.softplus, given["features"], given["labels"])
    solver = jaxopt.GradientDescent(
        inner, stepsize=rate, maxiter=2000, tol=1e-13, acceleration=False
    )

    def value(weights: jax.Array, strength: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = solver.run(jnp.zeros(6), weights, strength).params
        return outer(x, strength), x

    hyper = given["weights"], given["strength"]
    grads, x = jax.grad(value, (0, 1), has_aux=True)(*hyper)
    text, arrays = implicit.collected([grads], None)
    return text, arrays | {"solution": np.asarray(x)}


def cases() -> list[Case]:
    anderson = {"history": 3, "beta": 0.7, "ridge": 0.01}
    waits = {"history": 2, "mixing_frequency": 3, "beta": 0.7, "ridge": 0.0}
    bracket = {"lower": -3.0, "upper": 4.0, "tol": 1e-5, "max_steps": 60}
    short = {**bracket, "tol": 0.0, "max_steps": 11}
    sweeps = {"strength": 0.01, "lipschitz": 1.0}
    first = ("The package counts its first point as a step.",)
    roots = partial(Case, "jaxopt", "bisection", "jaxopt.Bisection", notes=first)
    return [
        Case(
            "scipy",
            "anderson_acceleration",
            "scipy.optimize.anderson",
            anderson,
            partial(_scipy_anderson, 0.7, 3, 0.01),
            rtol=1e-9,
            notes=("w0 is the root of ridge, and the function is T(x) - x.",),
        ),
        Case(
            "jaxopt",
            "anderson_acceleration",
            "jaxopt.AndersonAcceleration",
            waits,
            partial(_jaxopt_anderson, 0.7, 3, 8),
            rtol=1e-7,
            notes=(
                "It waits until it has as many points as it keeps, and mixes at every third step "
                "here, which is when these are there for the first time. Three points make a "
                "history of two differences. No ridge: its own is one of the weights of points.",
            ),
        ),
        roots(bracket, partial(_bisection, 1.0, bracket), "rising", rtol=1e-12),
        roots(short, partial(_bisection, -1.0, short), "falling", rtol=1e-12),
        Case(
            "jaxopt",
            "block_coordinate_descent",
            "jaxopt.BlockCoordinateDescent",
            sweeps,
            partial(_block_coordinate_descent, sweeps["strength"]),
            rtol=1e-10,
        ),
        Case(
            "jaxopt",
            "minimize",
            "jaxopt.GradientDescent",
            {"learning_rate": 0.8},
            partial(_minimize, 0.8),
            rtol=1e-8,
        ),
    ]
