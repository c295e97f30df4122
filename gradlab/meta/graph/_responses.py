"""How the best response of a problem moves with what stands above it: products with its Jacobian.

A response is data. Its `pull` multiplies a cotangent of a problem's variables with the Jacobian
of their best response, by what the slope of the problem's total loss tells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.core import Scalar, hyper, static
from gradlab.meta import _linear
from gradlab.meta._implicit_hypergradient import ImplicitHypergradient, ImplicitReport


class Seen(NamedTuple):
    """A problem as its response sees it.

    Attributes:
      owner: what messages are of.
      objective: the total loss, of the problem's variables and those above it.
      train: where more steps of its optimizer lead, of the variables above it.
    """

    owner: str
    objective: Callable[[Any, Any], Any]
    train: Callable[[Any], Any]

    def slope(self, mine: Any, above: Any) -> Any:
        """The gradient of the total loss in the problem's own variables."""
        return jax.grad(self.objective)(mine, above)


def _mixed(seen: Seen, mine: Any, above: Any, x: Any) -> Any:
    """The mixed second derivative of the total loss times a tree like the problem's variables."""
    return jax.vjp(lambda a: seen.slope(mine, a), above)[1](x)[0]


class ImplicitResponse(ImplicitHypergradient):
    """The implicit function theorem, as `implicit_hypergradient` applies it."""

    def pull(self, seen: Seen, mine: Any, above: Any, v: Any, key: Any) -> tuple[Any, Any]:
        """A cotangent of the variables times the Jacobian of the response, and what it is worth."""
        x, solved = self._solved(seen, mine, above, v, key, nested=False)
        x = _linear.guarded(seen.owner, self.on_failure, x, solved)
        slope = core.global_norm(seen.slope(mine, above))
        pulled = jax.tree.map(jnp.negative, _mixed(seen, mine, above, x))
        return pulled, ImplicitReport(*solved[1:7], slope=slope)

    def pull_within(self, seen: Seen, mine: Any, above: Any, v: Any, key: Any) -> Any:
        """The same inside of another response: linear in `v`, as derivatives of it have to be."""
        x, _ = self._solved(seen, mine, above, v, key, nested=True)
        return jax.tree.map(jnp.negative, _mixed(seen, mine, above, x))

    def _solved(
        self, seen: Seen, mine: Any, above: Any, v: Any, key: Any, nested: bool
    ) -> tuple[Any, _linear.Solved]:
        vector, back = _linear.flattened(v)
        _, turned = jax.vjp(lambda m: seen.slope(m, above), mine)

        def product(x: jax.Array) -> jax.Array:
            damping = jnp.asarray(self.damping, x.dtype)
            return _linear.flattened(turned(back(x))[0])[0] + damping * x

        if self.solver in _linear.APPROXIMATE:
            solved = self.solve(product, vector, key)
            return back(solved.x), solved

        def solve(product: Callable, vector: jax.Array) -> tuple:
            solved = self.solve(product, vector)
            if nested:  # a look at the solution from outside would not be linear
                return _linear.guarded(seen.owner, self.on_failure, solved.x, solved), solved
            return solved.x, solved

        # Where a level below is approximated, the matrix is not quite symmetric.
        x, solved = lax.custom_linear_solve(product, vector, solve, solve, has_aux=True)
        return back(x), solved


class FiniteDifferenceResponse(core.Data):
    """One step of gradient descent, whose derivative is a difference of two gradients."""

    learning_rate: Scalar = hyper("(0, inf)")
    size: Scalar = hyper("(0, inf)")

    def pull(self, seen: Seen, mine: Any, above: Any, v: Any, key: Any) -> tuple[Any, Any]:
        """A cotangent of the variables times the Jacobian of the response, and what it is worth."""
        del key
        length = core.global_norm(v)
        step = jnp.where(length > 0, core.divide(self.size, length), self.size)
        rate = self.learning_rate

        def at(sign: float) -> tuple[Any, Any]:
            moved = jax.tree.map(lambda m, d: (m + sign * step * d).astype(m.dtype), mine, v)
            return jax.grad(seen.objective, argnums=(0, 1))(moved, above)

        def scaled(ahead: jax.Array, behind: jax.Array) -> jax.Array:
            return jnp.asarray(rate * (ahead - behind) / (2 * step), ahead.dtype)

        own, pulled = jax.tree.map(scaled, at(1.0), at(-1.0))
        vector, image = _linear.flattened(v)[0], _linear.flattened(own)[0]
        residual = core.divide(core.norm(image - vector), core.norm(vector))
        curvature = core.divide(jnp.vdot(vector, image), jnp.vdot(vector, vector)) / rate
        slope = core.global_norm(seen.slope(mine, above))
        small = residual <= jnp.finfo(vector.dtype).eps ** 0.5
        report = _report(residual, 1, small, curvature, slope)
        return jax.tree.map(jnp.negative, pulled), report

    def pull_within(self, seen: Seen, mine: Any, above: Any, v: Any, key: Any) -> Any:
        """The same inside of another response: the limit of the difference, linear in `v`."""
        del key
        scaled = jax.tree.map(lambda d: (-self.learning_rate * d).astype(d.dtype), v)
        return _mixed(seen, mine, above, scaled)


class UnrolledResponse(core.Data):
    """Some more steps of the problem's optimizer, and their derivative."""

    steps: int = static(convert=core.count_at_least(1))

    def pull(self, seen: Seen, mine: Any, above: Any, v: Any, key: Any) -> tuple[Any, Any]:
        """A cotangent of the variables times the Jacobian of the response, and what it is worth."""
        del key
        (pulled,) = jax.vjp(seen.train, above)[1](v)
        slope = core.global_norm(seen.slope(mine, above))
        exact = jnp.where(core.all_finite(pulled), 0, jnp.nan).astype(slope.dtype)
        return pulled, _report(exact, self.steps, exact == 0, jnp.full_like(exact, jnp.inf), slope)


def _report(residual: Any, steps: int, converged: Any, curvature: Any, slope: Any) -> Any:
    return ImplicitReport(
        residual,
        jnp.asarray(steps, jnp.int32),
        converged,
        curvature,
        curvature < 0,
        ~jnp.isfinite(residual),
        slope,
    )


class HeldResponse(core.Data):
    """None: for the problems above, the variables are constants."""


Response = ImplicitResponse | FiniteDifferenceResponse | UnrolledResponse | HeldResponse


def adopt_response(owner: str, value: Any) -> Response:
    """A response from what a user chose.

    Raises:
      TypeError: it is no name and no response.
      ValueError: an unknown name, or a product of Gauss and Newton, which needs a model apart.
    """
    if isinstance(value, Response):
        return value
    if value == "held":
        return HeldResponse()
    if isinstance(value, str):
        value = core.build(ImplicitHypergradient, f"{owner}: response", solver=value)
    if not isinstance(value, ImplicitHypergradient):
        raise TypeError(
            f"{owner}: response={value!r} is no solver's name, 'held', implicit_hypergradient(…), "
            "finite_difference_response(…) or unrolled_response(…)"
        )
    if value.product != "hessian":
        raise ValueError(
            f"{owner}: response has product={value.product!r}, expected 'hessian': a loss of a "
            "graph does not say which part of it is the model"
        )
    return ImplicitResponse(**{f.name: getattr(value, f.name) for f in dataclasses.fields(value)})


@core.builds(FiniteDifferenceResponse)
def finite_difference_response(learning_rate: Scalar = 1.0, *, size: Scalar = 0.01):
    r"""The best response of a problem is taken for one step of gradient descent.

    $$\Big(\frac{\partial y^*}{\partial x}\Big)^\top v \approx -\alpha\,
    \frac{\nabla_x g(y + \epsilon v, x) - \nabla_x g(y - \epsilon v, x)}{2 \epsilon}, \qquad
    \epsilon = r / \lVert v \rVert$$

    for the loss g of the problem: the identity in place of α times its Hessian, and a difference
    in place of its mixed second derivative. Four gradients (two pairs), no second derivative.

    Args:
      learning_rate: α [units of y² / units of g], in (0, inf).
      size: r, how far y is moved, as a norm over all variables [units of y], in (0, inf).

    Returns:
      The response, for `Problem(response=…)`. State: none.

    Raises:
      ValueError: a number outside its range.

    References:
      Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", arXiv:1806.09055, whose
      difference this is. Choe, Neiswanger, Xie and Xing, "Betty: An Automatic Differentiation
      Library for Multilevel Optimization", arXiv:2207.02849: taken for a product with the Jacobian
      of a best response; there α is 1.

    Example:
      >>> import gradlab as gl
      >>> gl.meta.finite_difference_response(0.1)
      finite_difference_response(learning_rate=0.1, size=0.01)
    """


@core.builds(UnrolledResponse)
def unrolled_response(steps: int):
    r"""The best response of a problem is taken for some more steps of its optimizer.

    $$y^*(x) \approx \text{optimizer}^T(y;\ g(\cdot, x))$$

    The problems above see these steps ahead, on the batch of the problem at hand, both in the
    value of their losses and in its derivative; the problem's own variables stay where they are.

    Args:
      steps: T, at least 1.

    Returns:
      The response, for `Problem(response=…)`. State: none; the derivative holds what T steps read.

    Raises:
      ValueError: fewer steps than one.

    Example:
      >>> import gradlab as gl
      >>> gl.meta.unrolled_response(5)
      unrolled_response(steps=5)
    """
