"""Steps that line searches of jaxopt accept."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np

from . import problems
from .case import Arrays, Case

jax.config.update("jax_enable_x64", True)

TEXT = (
    "f(x) = mean(log(1 + exp(-labels * (features @ x)))) + 0.05 * x @ x with 20 random points in 6 "
    "dimensions (seed {seed}); steps[k] is the one that is accepted from points[k] along "
    "-scales[k] times the gradient there, tried with one at first."
)


def _steps(make: Any) -> tuple[str, Arrays]:
    features, labels = problems.logistic_data()
    points = problems.short(3 * np.random.default_rng([problems.SEED, 69]).standard_normal((9, 6)))
    scales = 2.0 ** np.arange(-3, 15, 2)

    def loss(x: jax.Array) -> jax.Array:
        return jnp.mean(jax.nn.softplus(-labels * (features @ x))) + 0.05 * x @ x

    search, found = make(loss), []
    for x, scale in zip(jnp.asarray(points), scales, strict=True):
        value, grad = jax.value_and_grad(loss)(x)
        step, state = search.run(1.0, x, value, grad, -scale * grad)
        assert bool(state.done), scale
        assert not bool(state.failed), scale
        found.append(float(step))
    given = {"features": features, "labels": labels, "points": points, "scales": scales}
    return TEXT.format(seed=problems.SEED), given | {"steps": np.array(found)}


def cases() -> list[Case]:
    backtracking = {
        "max_backtracking_steps": 60,
        "slope_rtol": 0.1,
        "decrease_factor": 0.7,
        "max_learning_rate": 1.0,
    }
    made = partial(
        jaxopt.BacktrackingLineSearch, condition="armijo", c1=0.1, decrease_factor=0.7, maxiter=60
    )
    hager = {"slope_rtol": 0.1, "curv_rtol": 0.9, "initial_guess_strategy": "one"}
    return [
        Case(
            "jaxopt",
            "scale_by_backtracking_linesearch",
            "jaxopt.BacktrackingLineSearch",
            backtracking,
            partial(_steps, made),
            rtol=1e-10,
        ),
        Case(
            "jaxopt",
            "scale_by_hager_zhang_linesearch",
            "jaxopt.HagerZhangLineSearch",
            hager,
            partial(_steps, partial(jaxopt.HagerZhangLineSearch, c1=0.1, c2=0.9)),
            rtol=1e-8,
            departures=(
                "Of the ends of an interval the lower one is looked at, not every step on the way.",
                "Where one of the first interval meets the conditions, the step that is returned "
                "is the one that was given to begin with, whether it meets them or not.",
            ),
            agrees=False,
        ),
    ]
