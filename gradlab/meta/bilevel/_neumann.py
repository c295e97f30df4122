"""Hypergradients at an inner solution: implicit differentiation with a short linear solve."""

from __future__ import annotations

from typing import Any

import jax
from jax.scipy.sparse import linalg

from gradlab.meta.bilevel._calculus import combine, products, repeat, scaled
from gradlab.meta.bilevel._problem import Batches, BilevelProblem


def neumann_hypergradient(
    problem: BilevelProblem,
    x: Any,
    y: Any,
    batches: Batches,
    rate: Any,
    terms: int,
    damping: Any = 0.0,
) -> Any:
    """The hypergradient with the first terms of a Neumann series in place of the inverse."""
    fx, fy = jax.grad(problem.outer, argnums=(0, 1))(x, y, batches.outer)
    product = products(problem.inner, x, y, batches.inner)

    def body(_: Any, carry: Any) -> Any:
        term, total = carry
        term = combine((1 - rate * damping, term), (-rate, product(term)[1]))
        return term, combine((1.0, total), (1.0, term))

    _, total = repeat(terms - 1, body, (fy, fy)) if terms > 1 else (fy, fy)
    return combine((1.0, fx), (-1.0, product(scaled(rate, total))[0]))


def implicit_hypergradient(
    problem: BilevelProblem, x: Any, y: Any, batches: Batches, damping: Any, terms: int
) -> Any:
    """The hypergradient with conjugate gradients on the damped inner Hessian."""
    fx, fy = jax.grad(problem.outer, argnums=(0, 1))(x, y, batches.outer)
    product = products(problem.inner, x, y, batches.inner)

    def damped(v: Any) -> Any:
        return combine((1.0, product(v)[1]), (damping, v))

    solved, _ = linalg.cg(damped, fy, maxiter=terms)
    return combine((1.0, fx), (-1.0, product(solved)[0]))
