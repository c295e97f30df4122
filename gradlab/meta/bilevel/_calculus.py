"""Steps, sums and second derivatives of trees, as the methods for bilevel problems write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.meta._implicit_hypergradient import ImplicitHypergradient
from gradlab.meta._products import second_derivatives
from gradlab.meta.bilevel._problem import Batches, BilevelProblem


def combine(*terms: tuple[Any, Any]) -> Any:
    """The sum of trees times numbers, `combine((a, x), (b, y))`, in the dtypes of the first."""
    scales, trees = zip(*terms, strict=True)

    def leaf(*arrays: jax.Array) -> jax.Array:
        # In bfloat16, a small step would be lost before it is taken.
        dtype = core.compute_dtype(*arrays)
        total = scales[0] * jnp.asarray(arrays[0], dtype)
        for scale, array in zip(scales[1:], arrays[1:], strict=True):
            total = total + scale * jnp.asarray(array, dtype)
        return total.astype(arrays[0].dtype)

    return jax.tree.map(leaf, *trees)


def descend(x: Any, rate: Any, direction: Any) -> Any:
    """`x` less the rate times the direction."""
    return combine((1.0, x), (-rate, direction))


def scaled(scale: Any, tree: Any) -> Any:
    """The tree times a number."""
    return combine((scale, tree))


def zeros_like(tree: Any) -> Any:
    """A tree of zeros."""
    return jax.tree.map(jnp.zeros_like, tree)


def in_ball(tree: Any, radius: Any, center: Any = None) -> Any:
    """The nearest tree whose distance from the center (or norm) is at most the radius."""
    offset = tree if center is None else combine((1.0, tree), (-1.0, center))
    length = core.global_norm(offset)
    kept = jnp.where(length > radius, core.divide(radius, length), 1.0)
    return scaled(kept, offset) if center is None else combine((1.0, center), (kept, offset))


def repeat(times: int, body: Callable[[Any, Any], Any], carry: Any) -> Any:
    """`carry = body(index, carry)`, so many times."""
    # A loop of one is traced as if it were none: outside of jit every loop is compiled anew.
    return body(0, carry) if times == 1 else lax.fori_loop(0, times, body, carry)


def grad_outer(objective: Callable[..., Any], x: Any, y: Any, batch: Any) -> Any:
    """The gradient of an objective in the outer variables."""
    return jax.grad(objective, argnums=0)(x, y, batch)


def grad_inner(objective: Callable[..., Any], x: Any, y: Any, batch: Any) -> Any:
    """The gradient of an objective in the inner variables."""
    return jax.grad(objective, argnums=1)(x, y, batch)


def products(
    objective: Callable[..., Any], x: Any, y: Any, batch: Any
) -> Callable[[Any], tuple[Any, Any]]:
    r"""The products $\nabla^2_{xy} g \, v$ and $\nabla^2_{yy} g \, v$ as one function of `v`."""
    return second_derivatives(lambda x, y: objective(x, y, batch), x, y)[1]


def hypergradient_at(
    problem: BilevelProblem, x: Any, y: Any, batches: Batches, solver: str, **options: Any
) -> Any:
    """The hypergradient with `y` as the inner solution; its linear solve may end early."""
    of = ImplicitHypergradient(solver=solver, on_failure="ignore", **options)
    found = of(
        lambda x, y: problem.outer(x, y, batches.outer),
        lambda x, y: problem.inner(x, y, batches.inner),
        x,
        y,
    )
    return found.hypergradient
