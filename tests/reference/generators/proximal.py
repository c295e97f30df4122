"""Proximal operators, projections, and steps that are made of them: jaxopt, and quadprog."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import qpsolvers
from jaxopt import projection, prox

from . import problems, solvers
from .case import Arrays, Case

jax.config.update("jax_enable_x64", True)

TEXT = (
    "results[k] is the operator's value at points[k], random (seed {seed}); numbers of the "
    "settings are its arguments in their order, and the scaling is {scaling}."
)
NEAREST = (
    "results[k] is the nearest point to points[k] of the set that the other arrays describe, "
    "random (seed {seed})."
)
LEAST_SQUARES = (
    "|features @ x - labels|**2 / 2, random (seed {seed}), from x[0]; x[k] is the point after k "
    "steps of a fixed size."
)
SCALING = 0.7


def _points() -> np.ndarray:
    rng = np.random.default_rng([problems.SEED, 67])
    return problems.short(rng.standard_normal((5, 6)) * np.array([0.3, 1, 1, 2, 3])[:, None])


def _operator(function: Any, hyperparams: Any) -> tuple[str, Arrays]:
    points = _points()
    results = np.stack([function(jnp.asarray(x), hyperparams, SCALING) for x in points])
    text = TEXT.format(seed=problems.SEED, scaling=SCALING)
    return text, {"points": points, "results": results, "scaling": np.array(SCALING)}


def _sets(kind: str) -> tuple[np.ndarray, dict[str, Any], Arrays]:
    """Points, the set as quadratic programs take it, and the arrays that describe it."""
    rng = np.random.default_rng([problems.SEED, 68])
    a, g = (problems.short(rng.standard_normal((rows, 6))) for rows in (2, 4))
    inside = problems.short(rng.standard_normal(6))
    b, h = a @ inside, g @ inside + np.array([0.1, 0.5, 0.2, 1.0])
    if kind == "affine_set":
        return _points(), {"A": a, "b": b}, {"a": a, "b": b}
    if kind == "polyhedron":
        return _points(), {"A": a, "b": b, "G": g, "h": h}, {"a": a, "b": b, "g": g, "h": h}
    lower, upper = np.full(6, -0.5), np.linspace(0.25, 1.0, 6)
    w, c = problems.short(rng.uniform(0.5, 2.0, 6)), np.array(1.0)
    box = {"A": w[None], "b": c[None], "lb": lower, "ub": upper}
    return _points(), box, {"lower": lower, "upper": upper, "w": w, "c": c}


def _program(kind: str) -> tuple[str, Arrays]:
    points, program, arrays = _sets(kind)
    solved = [qpsolvers.solve_qp(np.eye(6), -x, solver="quadprog", **program) for x in points]
    return NEAREST.format(seed=problems.SEED), arrays | {
        "points": points,
        "results": np.stack([np.asarray(x) for x in solved]),
    }


def _projection(kind: str) -> tuple[str, Arrays]:
    points, _, arrays = _sets(kind)
    hyperparams = tuple(jnp.asarray(value) for value in arrays.values())
    function = getattr(projection, f"projection_{kind}")
    results = np.stack([function(jnp.asarray(x), hyperparams) for x in points])
    return NEAREST.format(seed=problems.SEED), arrays | {"points": points, "results": results}


def _trajectory(make: Any, hyperparams: Any, start: np.ndarray) -> tuple[str, Arrays]:
    given = solvers.lasso_data()
    features, labels = (jnp.asarray(a) for a in given.values())

    def objective(x: jax.Array) -> jax.Array:
        residual = features @ x - labels
        return residual @ residual / 2

    solver, params = make(objective), jnp.asarray(start)
    state, x = solver.init_state(params, hyperparams), [start]
    for _ in range(20):
        params, state = solver.update(params, state, hyperparams)
        x.append(np.asarray(params))
    return LEAST_SQUARES.format(seed=problems.SEED), given | {"x": np.stack(x)}


def cases() -> list[Case]:
    operators = {
        "prox_lasso": {"l1reg": 0.8},
        "prox_non_negative_lasso": {"l1reg": 0.8},
        "prox_elastic_net": {"hyperparams": [0.8, 0.6]},
        "prox_group_lasso": {"l2reg": 1.5},
        "prox_ridge": {"l2reg": 0.8},
        "prox_non_negative_ridge": {"l2reg": 0.8},
    }
    found = []
    for name, settings in operators.items():
        (value,) = settings.values()
        hyperparams = tuple(value) if isinstance(value, list) else value
        run = partial(_operator, getattr(prox, name), hyperparams)
        found.append(Case("jaxopt", name, f"jaxopt.prox.{name}", settings, run, rtol=1e-12))
    for kind in ("affine_set", "polyhedron", "box_section"):
        found.append(
            Case(
                "quadprog",
                f"projection_{kind}",
                "qpsolvers.solve_qp with quadprog",
                {},
                partial(_program, kind),
                rtol=1e-9,
            )
        )
    for kind in ("affine_set", "box_section"):
        name = f"projection_{kind}"
        found.append(
            Case(
                "jaxopt",
                name,
                f"jaxopt.projection.{name}",
                {},
                partial(_projection, kind),
                rtol=1e-4,
                notes=("A solver inside, to its own tolerance.",),
            )
        )
    start = problems.initial_params((6,))
    for accelerated in (False, True):
        make = partial(
            jaxopt.ProximalGradient, prox=prox.prox_lasso, stepsize=0.4, acceleration=accelerated
        )
        found.append(
            Case(
                "jaxopt",
                "proximal_gradient",
                "jaxopt.ProximalGradient",
                {"learning_rate": 0.4, "strength": 0.1, "acceleration": accelerated},
                partial(_trajectory, make, 0.1, start),
                variant="accelerated" if accelerated else "plain",
                rtol=1e-10,
            )
        )
    inside = np.full(6, 1 / 6)
    found += [
        Case(
            "jaxopt",
            "projected_gradient",
            "jaxopt.ProjectedGradient",
            {"learning_rate": 0.4},
            partial(
                _trajectory,
                partial(
                    jaxopt.ProjectedGradient,
                    projection=projection.projection_simplex,
                    stepsize=0.4,
                    acceleration=False,
                ),
                1.0,
                inside,
            ),
            rtol=1e-10,
            notes=("The set is the simplex of numbers that add up to one.",),
        ),
        Case(
            "jaxopt",
            "mirror_descent",
            "jaxopt.MirrorDescent",
            {"learning_rate": 0.4},
            partial(
                _trajectory,
                partial(
                    jaxopt.MirrorDescent,
                    projection_grad=jaxopt.MirrorDescent.make_projection_grad(
                        lambda x, _: jax.nn.softmax(x), jnp.log
                    ),
                    stepsize=0.4,
                ),
                None,
                inside,
            ),
            rtol=1e-10,
            notes=("The entropy's mirror map, and the simplex of numbers that add up to one.",),
        ),
    ]
    return found
