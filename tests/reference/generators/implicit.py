"""Implicit hypergradients of a logistic regression, from packages for torch and for JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import torch
import torchopt
from betty.hypergradient import get_grads

from . import problems
from .case import Arrays, Case

jax.config.update("jax_enable_x64", True)
RATE = 0.5
STEPS = (0, 1, 2, 3, 5, 8)
TEXT = (
    "inner(x) = sum(weights[i] * log(1 + exp(-labels[i] * (features[i] @ x)))) / 14 + strength / 2 "
    "* x @ x over the first 14 of 20 random points in 6 dimensions (seed {seed}); solution is its "
    "minimum by Newton's method. outer(x) = mean(log(1 + exp(-labels * (features @ x)))) over the "
    "other six + strength**2 / 10. grad_NAME is the derivative of outer(solution) by NAME (weights "
    "or strength); where there is `steps`, its row k is that after steps[k] steps of the solver."
)


def data() -> Arrays:
    features, labels = problems.logistic_data()
    weights = problems.short(np.random.default_rng([problems.SEED, 61]).uniform(0.5, 1.5, 14))
    signed, strength, x = (features * labels[:, None])[:14], 0.25, np.zeros(6)
    for _ in range(50):
        p = 1 / (1 + np.exp(signed @ x))
        slope = strength * x - signed.T @ (weights * p) / 14
        hessian = strength * np.eye(6) + (signed.T * (weights * p * (1 - p))) @ signed / 14
        x = x - np.linalg.solve(hessian, slope)
    arrays = {"features": features, "labels": labels, "weights": weights}
    return arrays | {"strength": np.array(strength), "solution": x}


def objectives(softplus: Any, features: Any, labels: Any) -> tuple[Callable, Callable]:
    def each(x: Any, rows: slice) -> Any:
        return softplus(-labels[rows] * (features[rows] @ x))

    def inner(x: Any, weights: Any, strength: Any) -> Any:
        return (weights * each(x, slice(14))).sum() / 14 + strength / 2 * (x @ x)

    def outer(x: Any, strength: Any) -> Any:
        return each(x, slice(14, None)).mean() + strength**2 / 10

    return inner, outer


def collected(each: list[tuple], steps: tuple[int, ...] | None) -> tuple[str, Arrays]:
    found = {
        f"grad_{name}": np.stack([np.asarray(g) for g in grads])
        for name, grads in zip(("weights", "strength"), zip(*each, strict=True), strict=True)
    }
    if steps is None:
        found = {name: rows[0] for name, rows in found.items()}
    else:
        found["steps"] = np.array(steps, np.int8)
    return TEXT.format(seed=problems.SEED), data() | found


def _torch_parts() -> tuple[Any, Any, dict[str, torch.Tensor]]:
    given = {name: torch.tensor(value) for name, value in data().items()}
    inner, outer = objectives(
        torch.nn.functional.softplus, given.pop("features"), given.pop("labels")
    )
    for name in ("weights", "strength"):
        given[name].requires_grad_(True)
    return inner, outer, given


def _torchopt(solver: Callable[[int], Any], steps: tuple[int, ...] | None) -> tuple[str, Arrays]:
    inner, outer, given = _torch_parts()
    solution, hyper = given["solution"], (given["weights"], given["strength"])

    def slope(x: torch.Tensor, weights: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
        return torch.func.grad(inner)(x, weights, strength)

    found = []
    for count in steps or (200,):

        @torchopt.diff.implicit.custom_root(slope, argnums=(1, 2), solve=solver(count))
        def solved(x: torch.Tensor, weights: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
            del weights, strength
            return x

        value = outer(solved(solution, *hyper), hyper[1])
        found.append(torch.autograd.grad(value, hyper))
    return collected(found, steps)


def _betty(config: Callable[[int], dict], steps: tuple[int, ...] | None) -> tuple[str, Arrays]:
    found = []
    for count in steps or (0,):
        inner, outer, given = _torch_parts()
        x = given["solution"].clone().requires_grad_(True)
        weights, strength = given["weights"], given["strength"]

        def training_step(_: Any, inner: Any = inner, given: Any = (x, weights, strength)) -> Any:
            return inner(*given)

        above = SimpleNamespace(trainable_parameters=lambda by=(weights, strength): by)
        below = SimpleNamespace(
            config=SimpleNamespace(**config(count)),
            training_step_exec=training_step,
            cur_batch=None,
            paths=[],
            parameters=lambda x=x: [x],
            trainable_parameters=lambda x=x: [x],
        )
        value = outer(x, strength)
        (direct,) = torch.autograd.grad(value, strength, retain_graph=True)
        implicit = get_grads(value, [above, below, above], retain_graph=False)
        found.append((implicit[0].detach(), (implicit[1] + direct).detach()))
    return collected(found, steps)


def _jaxopt(root: bool, solve: Any) -> tuple[str, Arrays]:
    given = {name: jnp.asarray(value) for name, value in data().items()}
    inner, outer = objectives(jax.nn.softplus, given["features"], given["labels"])
    slope = jax.grad(inner)

    def step(x: jax.Array, weights: jax.Array, strength: jax.Array) -> jax.Array:
        return x - RATE * slope(x, weights, strength)

    implicit = jaxopt.implicit_diff
    wrap = implicit.custom_root(slope, solve=solve)
    if not root:
        wrap = implicit.custom_fixed_point(step, solve=solve)

    @wrap
    def solved(x: jax.Array, weights: jax.Array, strength: jax.Array) -> jax.Array:
        del weights, strength
        return x

    def value(weights: jax.Array, strength: jax.Array) -> jax.Array:
        return outer(solved(given["solution"], weights, strength), strength)

    return collected([jax.grad(value, (0, 1))(given["weights"], given["strength"])], None)


def cases() -> list[Case]:
    solve, linear, found = torchopt.linear_solve, jaxopt.linear_solve, []

    def case(package: str, function: str, settings: dict, run: Any, **more: Any) -> None:
        variant = more.pop("variant", settings["solver"])
        method = more.pop("method", "implicit_hypergradient")
        tolerance = {"rtol": 1e-10} | more
        found.append(Case(package, method, function, settings, run, variant, **tolerance))

    root = "torchopt.diff.implicit.custom_root with torchopt.linear_solve."
    case(
        "torchopt",
        root + "solve_cg",
        {"solver": "cg"},
        partial(_torchopt, lambda n: solve.solve_cg(maxiter=n, rtol=0.0), STEPS[1:5]),
    )
    case(
        "torchopt",
        root + "solve_normal_cg",
        {"solver": "normal_cg"},
        partial(_torchopt, lambda n: solve.solve_normal_cg(maxiter=n, rtol=1e-14), None),
    )
    case(
        "torchopt",
        root + "solve_inv",
        {"solver": "dense"},
        partial(_torchopt, lambda _: solve.solve_inv(ns=False), None),
    )
    series = {"solver": "neumann", "learning_rate": RATE}
    case(
        "torchopt",
        root + "solve_inv",
        series,
        partial(_torchopt, lambda n: solve.solve_inv(ns=True, maxiter=n, alpha=RATE), STEPS),
    )
    level = "betty.hypergradient.get_grads with a level of the type "
    direct = ("The direct derivative of the outer objective is added, as the engine does.",)
    case(
        "betty-ml",
        level + "cg",
        {"solver": "cg"},
        partial(_betty, lambda n: {"type": "cg", "cg_alpha": 1.0, "cg_iterations": n}, STEPS[1:5]),
        notes=direct,
        departures=(
            "The next direction is the old residual, in place of the new one, plus beta times the "
            "direction before, so that only the first step is that of conjugate gradients. "
            "Corrected in the repository since this release.",
        ),
        agrees=False,
    )
    case(
        "betty-ml",
        level + "neumann",
        series,
        partial(
            _betty,
            lambda n: {"type": "neumann", "neumann_alpha": RATE, "neumann_iterations": n},
            STEPS,
        ),
        notes=direct,
    )
    case(
        "betty-ml",
        level + "darts",
        {"solver": "one_step", "learning_rate": 1.0},
        partial(_betty, lambda _: {"type": "darts", "darts_alpha": 1e-4}, None),
        notes=(*direct, "The product with the mixed derivative is a difference over 2e-4."),
        rtol=1e-7,
    )
    for name in ("cg", "normal_cg", "gmres", "bicgstab"):
        case(
            "jaxopt",
            f"jaxopt.implicit_diff.custom_root with solve_{name}",
            {"solver": name},
            partial(_jaxopt, True, partial(getattr(linear, f"solve_{name}"), tol=1e-14)),
        )
    case(
        "jaxopt",
        "jaxopt.implicit_diff.custom_fixed_point with solve_normal_cg",
        {"solver": "normal_cg", "learning_rate": RATE},
        partial(_jaxopt, False, partial(jaxopt.linear_solve.solve_normal_cg, tol=1e-14)),
        method="custom_fixed_point",
        notes=("The fixed point is that of a gradient step of the learning rate.",),
    )
    return found
