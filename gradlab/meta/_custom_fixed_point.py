"""Derivatives of fixed points, around any solver."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.meta import _roots


def custom_fixed_point(
    fixed_point_fn: Callable[..., Any], *, solver: Any = "normal_cg", has_aux: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    r"""Gives any solver of a fixed point equation the derivatives of what it solves.

    $$T(x^\star(\theta), \theta) = x^\star(\theta) \quad\Rightarrow\quad
    \left(I - \frac{\partial T}{\partial x}\right) \frac{d x^\star}{d \theta}
    = \frac{\partial T}{\partial \theta}$$

    As `gl.meta.custom_root` of x − T(x, θ), and with the same promises.

    Args:
      fixed_point_fn: T, as `fixed_point_fn(solution, *args, **kwargs)` with the solver's
        arguments; its value is a tree like the solution. `gl.meta.projected_gradient`,
        `gl.meta.proximal_gradient` and `gl.meta.mirror_descent` make such functions.
      solver: how linear systems with I − ∂T/∂x, or its transpose, are solved, as for
        `gl.meta.custom_root`. `"one_step"` takes ∂T/∂θ alone, the derivative of the last
        iteration, which is near where T contracts fast. `linear_solver("neumann",
        learning_rate=1.0, steps=k)` is the derivative of the last k + 1.
      has_aux: whether the solver returns a pair of the solution and of something else, which
        passes through without a derivative.

    Returns:
      A decorator of functions `solver(init, *args, **kwargs)` that return a tree of real arrays
      (or a pair, see `has_aux`). State: none.

    Raises:
      ModuleNotFoundError: `solver` needs lineax, or its `on_failure="raise"` equinox; both are
        in the extra `meta`.
      RuntimeError: on differentiation: a linear system was not solved; see `on_failure` of
        `gl.meta.linear_solver`.
      TypeError: `fixed_point_fn` is no function, or the solution has arrays that are not real.
      ValueError: at the call: the value of `fixed_point_fn` is no tree like the solution; the
        message names the path.

    References:
      Blondel, Berthet, Cuturi, Frostig, Hoyer, Llinares-López, Pedregosa and Vert, "Efficient
      and Modular Implicit Differentiation", arXiv:2105.15183, equation 3. Bolte, Pauwels and
      Vaiter, "One-Step Differentiation of Iterative Algorithms", arXiv:2305.13768v1, for
      `"one_step"`.

    Example:
      >>> import gradlab as gl, jax
      >>> @gl.meta.custom_fixed_point(lambda x, a: (x + a / x) / 2)
      ... def square_root(init, a):
      ...     return a**0.5  # however it may be found
      >>> round(float(jax.grad(square_root, argnums=1)(1.0, 4.0)), 4)
      0.25
    """
    owner = "custom_fixed_point"
    if not callable(fixed_point_fn):
        raise TypeError(f"{owner}: fixed_point_fn={fixed_point_fn!r} is no function")

    def residual(x: Any, *args: Any, **kwargs: Any) -> Any:
        mapped = fixed_point_fn(x, *args, **kwargs)
        _roots.check_like(owner, x, mapped)
        return jax.tree.map(jnp.subtract, x, mapped)

    linear = _roots.adopted(owner, solver, learning_rate=1.0)
    return functools.partial(_roots.differentiated, owner, residual, linear, has_aux)


def _by_hand(method: Any, problem: Any, x: Any, key: jax.Array) -> Any:
    del key
    step = jax.grad(lambda y, x: problem.inner(x, y))

    def descended(y: Any, x: Any) -> Any:
        return jax.tree.map(lambda y, g: y - 0.5 * g, y, step(y, x))

    solve = method(fixed_point_fn=descended)(lambda init, x: problem.solution(x))
    return jax.grad(lambda x: problem.outer(x, solve(problem.inner_variables(), x)))(x)


ENTRY = core.Entry(
    custom_fixed_point,
    formula="(I - dT/dx) dx = dT/dtheta dtheta",
    paper=("M057",),
    example={"solver": "gmres"},
    estimate=_by_hand,
)
