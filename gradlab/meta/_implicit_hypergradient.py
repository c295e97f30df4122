"""The hypergradient at an inner optimum, by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.core import Scalar, static
from gradlab.meta import _linear
from gradlab.meta._products import gauss_newton_vector_product, hessian_vector_product


class ImplicitReport(NamedTuple):
    """What a hypergradient is worth.

    Attributes:
      residual: ‖(H + damping) x − v‖ / ‖v‖, of the x that was used.
      iterations: how many steps the solver took; of `"nystrom"` the rank.
      converged: whether the residual is at most `tolerance`.
      curvature: the smallest vᵀ(H + damping)v / vᵀv among the vectors that were looked at: all
        with `"dense"`, the directions of `"cg"`, the residuals of `"minres"` (both see negative
        curvature wherever their Krylov space has it), the columns of `"nystrom"`, else the
        solution alone.
      indefinite: whether that is negative by more than rounding.
      failed: whether the solver did not do what it promises.
      slope: the norm of the inner objective's gradient. The theorem holds where it is zero.
    """

    residual: jax.Array
    iterations: jax.Array
    converged: jax.Array
    curvature: jax.Array
    indefinite: jax.Array
    failed: jax.Array
    slope: jax.Array


class Hypergradient(NamedTuple):
    """The outer objective, its derivative by the hyperparameters, and what that is worth."""

    value: jax.Array
    hypergradient: Any
    report: ImplicitReport


class ImplicitHypergradient(_linear.LinearSolver):
    """A function of two objectives and a point, with its hyperparameters as leaves."""

    product: str = static(default="hessian", convert=core.one_of("hessian", "gauss_newton"))

    def __call__(
        self,
        outer: Callable[[Any, Any], Any],
        inner: Callable[[Any, Any], Any] | tuple[Callable[[Any, Any], Any], ...],
        hyper: Any,
        params: Any,
        *,
        key: jax.Array | None = None,
    ) -> Hypergradient:
        owner = self.owner()
        _linear.check_real(owner, "hyper", hyper)
        _linear.check_real(owner, "params", params)
        objective, curvature = self._objective(inner, hyper, params)
        value, (direct, slope) = jax.value_and_grad(outer, argnums=(0, 1))(hyper, params)
        v, back = _linear.flattened(slope)

        def product(x: jax.Array) -> jax.Array:
            return _linear.flattened(curvature(back(x)))[0] + self.damping * x

        solved = self._solve(product, v, key)
        inner_slope, pull = jax.vjp(lambda h: jax.grad(objective, argnums=1)(h, params), hyper)
        (indirect,) = pull(back(solved.x))
        total = jax.tree.map(jnp.subtract, direct, indirect)
        report = ImplicitReport(*solved[1:7], slope=core.global_norm(inner_slope))
        total = _linear.guarded(owner, self.on_failure, total, solved)
        return Hypergradient(value, total, report)

    def _solve(self, product: Callable, v: jax.Array, key: Any) -> _linear.Solved:
        if self.solver in _linear.APPROXIMATE:
            return self.solve(product, v, key)

        def solve(product: Callable, v: jax.Array) -> tuple:
            solved = self.solve(product, v)
            return solved.x, solved

        # So that what is found has derivatives, too: those of an exact solution.
        x, solved = lax.custom_linear_solve(product, v, solve, symmetric=True, has_aux=True)
        return solved._replace(x=x)

    def _objective(self, inner: Any, hyper: Any, params: Any) -> tuple[Callable, Callable]:
        """The inner objective, and the product of its curvature with a tree."""
        if self.product == "hessian":
            if not callable(inner):
                raise TypeError(f"{self.owner()}: inner={inner!r} is no function")
            return inner, lambda x: hessian_vector_product(lambda p: inner(hyper, p), params, x)
        if not (isinstance(inner, tuple) and len(inner) == 2 and all(map(callable, inner))):
            raise TypeError(
                f"{self.owner()}: product='gauss_newton' takes inner=(predict, loss), for the "
                f"objective loss(hyper, predict(hyper, params)); got {inner!r}"
            )
        predict, loss = inner

        def product(x: Any) -> Any:
            return gauss_newton_vector_product(
                lambda p: predict(hyper, p), lambda z: loss(hyper, z), params, x
            )

        return lambda h, p: loss(h, predict(h, p)), product


@core.builds(ImplicitHypergradient)
def implicit_hypergradient(
    solver: str = "cg",
    *,
    damping: Scalar = 0.0,
    learning_rate: Scalar | None = None,
    tolerance: Scalar | None = None,
    steps: int | None = None,
    rank: int | None = None,
    max_steps: int | None = None,
    product: str = "hessian",
    on_failure: str = "raise",
):
    """X"""
