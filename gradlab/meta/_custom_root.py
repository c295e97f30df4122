"""Derivatives of the solutions of optimality conditions, around any solver."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from gradlab import core
from gradlab.meta import _roots


def custom_root(
    optimality_fn: Callable[..., Any], *, solver: Any = "normal_cg", has_aux: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    r"""Gives any solver the derivatives of what it solves, by the implicit function theorem.

    $$F(x^\star(\theta), \theta) = 0 \quad\Rightarrow\quad \frac{\partial F}{\partial x}\,
    \frac{d x^\star}{d \theta} = -\frac{\partial F}{\partial \theta}$$

        @gl.meta.custom_root(gl.meta.stationary_point(objective), solver="cg")
        def fit(init, theta): ...

    The solver is not differentiated, so that any loop, and outside of `jit` any library, will
    do. Derivatives are there in reverse and in forward mode and of every order, by all real
    numbers in the arguments but for `init`, and by what `optimality_fn` closes over. The solver
    had better take such numbers as arguments: what it closes over is differentiated, in vain.

    Args:
      optimality_fn: F, as `optimality_fn(solution, *args, **kwargs)` with the solver's
        arguments; its value is a tree like the solution. `gl.meta.stationary_point` and
        `gl.meta.kkt_conditions` make such functions.
      solver: how linear systems with ∂F/∂x, or its transpose, are solved: a name that
        `gl.meta.linear_solver` takes, what that returns, or a function `solve(product, rhs)` of
        trees like the solution. Where ∂F/∂x is symmetric and positive definite, `"cg"` is the
        best.
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
      TypeError: `optimality_fn` is no function, or the solution has arrays that are not real.
      ValueError: at the call: the value of `optimality_fn` is no tree like the solution; the
        message names the path.

    References:
      Blondel, Berthet, Cuturi, Frostig, Hoyer, Llinares-López, Pedregosa and Vert, "Efficient
      and Modular Implicit Differentiation", arXiv:2105.15183, equation 2 and figure 1.

    Example:
      >>> import gradlab as gl, jax
      >>> @gl.meta.custom_root(lambda x, a: x**2 - a)
      ... def square_root(init, a):
      ...     return a**0.5  # however it may be found
      >>> round(float(jax.grad(square_root, argnums=1)(1.0, 4.0)), 4)
      0.25
    """
    owner = "custom_root"
    if not callable(optimality_fn):
        raise TypeError(f"{owner}: optimality_fn={optimality_fn!r} is no function")
    linear = _roots.adopted(owner, solver)
    return functools.partial(_roots.differentiated, owner, optimality_fn, linear, has_aux)


def _by_hand(method: Any, problem: Any, x: Any, key: jax.Array) -> Any:
    del key
    condition = jax.grad(lambda y, x: problem.inner(x, y))
    solve = method(optimality_fn=condition)(lambda init, x: problem.solution(x))
    return jax.grad(lambda x: problem.outer(x, solve(problem.inner_variables(), x)))(x)


ENTRY = core.Entry(
    custom_root,
    formula="dF/dx dx = -dF/dtheta dtheta",
    paper=("M057",),
    example={"solver": "cg"},
    estimate=_by_hand,
)
