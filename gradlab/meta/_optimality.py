"""Conditions that solutions of optimization problems satisfy, for `custom_root` and
`custom_fixed_point`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradlab.core import Scalar

Objective = Callable[..., Any]
"""From a solution and whatever it depends on to a scalar: `objective(x, *args)`."""


class KKTPoint(NamedTuple):
    """A solution of a constrained problem with its multipliers.

    Attributes:
      primal: the solution, a tree.
      equality: multipliers of the equality constraints, a tree like their values; or None.
      inequality: multipliers of the inequality constraints, not negative; or None.
    """

    primal: Any
    equality: Any = None
    inequality: Any = None


def stationary_point(objective: Objective) -> Callable[..., Any]:
    r"""The condition of an unconstrained minimum, for `custom_root`: a gradient of zero.

    $$F(x, \theta) = \nabla_x f(x, \theta)$$

    Its derivative by x, the Hessian, is symmetric, and positive definite at a strict minimum:
    `solver="cg"` fits.

    Args:
      objective: f, as `objective(x, *args, **kwargs)`, a real scalar.

    Returns:
      The function F of the same arguments; its value is a tree like x.

    Raises:
      TypeError: `objective` is no function.

    References:
      Blondel, Berthet, Cuturi, Frostig, Hoyer, Llinares-López, Pedregosa and Vert, "Efficient
      and Modular Implicit Differentiation", arXiv:2105.15183, the section on stationary points.

    Example:
      >>> import gradlab as gl, jax
      >>> condition = gl.meta.stationary_point(lambda x, a: (x - a) ** 2)
      >>> solve = gl.meta.custom_root(condition, solver="cg")(lambda init, a: a)
      >>> float(jax.grad(solve, argnums=1)(0.0, 3.0))
      1.0
    """
    _check_functions("stationary_point", objective=objective)
    return jax.grad(objective)


def kkt_conditions(
    objective: Objective,
    equality: Callable[..., Any] | None = None,
    inequality: Callable[..., Any] | None = None,
) -> Callable[..., KKTPoint]:
    r"""The conditions of Karush, Kuhn and Tucker, for `custom_root`.

    $$\begin{aligned}
    &\nabla_x \left(f + \nu^\top h + \lambda^\top g\right)(x, \theta) = 0 \\
    &h(x, \theta) = 0, \qquad \lambda \odot g(x, \theta) = 0
    \end{aligned}$$

    for the problem of minimising f under h = 0 and g ≤ 0. Their derivative by the point is not
    symmetric; it is regular where the active constraints are independent and each of them has a
    positive multiplier. `solver="dense"` fits small problems, `"gmres"` larger ones.

    Args:
      objective: f, as `objective(x, *args, **kwargs)`, a real scalar.
      equality: h, of the same arguments, a tree of arrays. None: there are none.
      inequality: g, of the same arguments, a tree of arrays. None: there are none.

    Returns:
      A function of a `KKTPoint` and the same further arguments; its value is a `KKTPoint`. The
      solver that is decorated has to give a `KKTPoint`, too.

    Raises:
      TypeError: not functions.
      ValueError: there is no constraint, or the point has no multipliers for one, or some for
        none.

    References:
      Blondel et al., "Efficient and Modular Implicit Differentiation", arXiv:2105.15183, the
      section on the KKT conditions.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> condition = gl.meta.kkt_conditions(
      ...     lambda x, a: jnp.sum((x - a) ** 2) / 2, equality=lambda x, a: jnp.sum(x) - 1
      ... )
      >>> @gl.meta.custom_root(condition, solver="dense")
      ... def project(init, a):
      ...     shift = (jnp.sum(a) - 1) / 2
      ...     return gl.meta.KKTPoint(a - shift, equality=shift)
      >>> jax.jacobian(lambda a: project(None, a).primal)(jnp.array([1.0, 2.0])).tolist()
      [[0.5, -0.5], [-0.5, 0.5]]
    """
    owner = "kkt_conditions"
    constraints = {"equality": equality, "inequality": inequality}
    given = {name: fn for name, fn in constraints.items() if fn is not None}
    _check_functions(owner, objective=objective, **given)
    if not given:
        raise ValueError(f"{owner}: there is no constraint; stationary_point is what fits")

    def conditions(point: KKTPoint, *args: Any, **kwargs: Any) -> KKTPoint:
        for name in constraints:
            multipliers = getattr(point, name)
            if (multipliers is None) != (name not in given):
                has = "no" if multipliers is None else "some"
                raise ValueError(f"{owner}: the point has {has} multipliers for {name}")

        def lagrangian(x: Any) -> Any:
            total = objective(x, *args, **kwargs)
            for name, fn in given.items():
                products = jax.tree.map(
                    lambda m, value: jnp.sum(m * value),
                    getattr(point, name),
                    fn(x, *args, **kwargs),
                )
                total = total + sum(jax.tree.leaves(products))
            return total

        values = {name: fn(point.primal, *args, **kwargs) for name, fn in given.items()}
        if "inequality" in values:
            values["inequality"] = jax.tree.map(
                jnp.multiply, point.inequality, values["inequality"]
            )
        return KKTPoint(jax.grad(lagrangian)(point.primal), **values)

    return conditions


def projected_gradient(
    objective: Objective,
    projection: Callable[..., Any],
    step_size: Scalar = 1.0,
    projection_args: Callable[..., tuple] | None = None,
) -> Callable[..., Any]:
    r"""The fixed point of projected gradient descent, for `custom_fixed_point`.

    $$T(x, \theta) = \operatorname{proj}\left(x - \eta\, \nabla_x f(x, \theta),\ \theta\right)$$

    The solution is a fixed point whatever the step size η > 0; its derivative is that for the
    constraints that are active.

    Args:
      objective: f, as `objective(x, *args, **kwargs)`, a real scalar.
      projection: the projection of a tree like x, as those in `gl.projections`.
      step_size: η [units of x² / units of f], in (0, inf).
      projection_args: from the same `*args, **kwargs` to a tuple: what the projection is called
        with beside the tree. None: nothing.

    Returns:
      The function T of the same arguments as f; its value is a tree like x.

    Raises:
      TypeError: not functions.
      ValueError: `step_size` outside its range.

    References:
      Blondel et al., "Efficient and Modular Implicit Differentiation", arXiv:2105.15183, the
      section on the projected gradient fixed point.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> simplex = gl.projections.projection_simplex
      >>> condition = gl.meta.projected_gradient(lambda x, a: jnp.sum((x - a) ** 2) / 2, simplex)
      >>> solve = gl.meta.custom_fixed_point(condition)(lambda init, a: simplex(a))
      >>> jax.jacobian(lambda a: solve(None, a))(jnp.array([2.0, 1.5, 0.0])).round(3).tolist()
      [[0.5, -0.5, 0.0], [-0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    owner = "projected_gradient"
    _check_functions(owner, objective=objective, projection=projection)
    _check_step(owner, step_size)

    def mapped(x: Any, *args: Any, **kwargs: Any) -> Any:
        more = () if projection_args is None else projection_args(*args, **kwargs)
        return projection(_descended(objective, step_size, x, args, kwargs), *more)

    return mapped


def proximal_gradient(
    objective: Objective,
    prox: Callable[..., Any],
    step_size: Scalar = 1.0,
    prox_args: Callable[..., tuple] | None = None,
) -> Callable[..., Any]:
    r"""The fixed point of proximal gradient descent, for `custom_fixed_point`.

    $$T(x, \theta) = \operatorname{prox}_{\eta r}\left(x - \eta\, \nabla_x f(x, \theta),\
    \theta\right)$$

    for the problem of minimising f + r. The solution is a fixed point whatever the step size
    η > 0.

    Args:
      objective: the smooth part f, as `objective(x, *args, **kwargs)`, a real scalar.
      prox: `prox(y, step_size, *more)` minimises ½‖x − y‖² + η r(x) over x; trees like x.
      step_size: η [units of x² / units of f], in (0, inf).
      prox_args: from the same `*args, **kwargs` to the tuple `more`. None: nothing.

    Returns:
      The function T of the same arguments as f; its value is a tree like x.

    Raises:
      TypeError: not functions.
      ValueError: `step_size` outside its range.

    References:
      Blondel et al., "Efficient and Modular Implicit Differentiation", arXiv:2105.15183, the
      section on the proximal gradient fixed point.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> def soft_threshold(y, step_size, weight):
      ...     return jnp.sign(y) * jnp.maximum(jnp.abs(y) - step_size * weight, 0)
      >>> condition = gl.meta.proximal_gradient(
      ...     lambda x, weight: jnp.sum((x - 2) ** 2) / 2, soft_threshold,
      ...     prox_args=lambda weight: (weight,),
      ... )
      >>> solve = gl.meta.custom_fixed_point(condition)(lambda init, weight: 2 - weight)
      >>> float(jax.grad(solve, argnums=1)(0.0, 0.5))
      -1.0
    """
    owner = "proximal_gradient"
    _check_functions(owner, objective=objective, prox=prox)
    _check_step(owner, step_size)

    def mapped(x: Any, *args: Any, **kwargs: Any) -> Any:
        more = () if prox_args is None else prox_args(*args, **kwargs)
        return prox(_descended(objective, step_size, x, args, kwargs), step_size, *more)

    return mapped


def mirror_descent(
    objective: Objective,
    mirror: Callable[[Any], Any],
    projection: Callable[[Any], Any],
    step_size: Scalar = 1.0,
) -> Callable[..., Any]:
    r"""The fixed point of mirror descent, for `custom_fixed_point`.

    $$T(x, \theta) = \operatorname{proj}_\varphi\left(\nabla\varphi(x)
    - \eta\, \nabla_x f(x, \theta)\right)$$

    On the simplex with φ(x) = Σ x log x that is `mirror=jnp.log` and
    `projection=jax.nn.softmax`, with derivatives at solutions in the interior.

    Args:
      objective: f, as `objective(x, *args, **kwargs)`, a real scalar.
      mirror: ∇φ, from a tree like x to one.
      projection: from the image of the mirror map to the nearest point of the feasible set in
        the divergence of φ; trees like x.
      step_size: η [units of ∇φ / units of ∇f], in (0, inf).

    Returns:
      The function T of the same arguments as f; its value is a tree like x.

    Raises:
      TypeError: not functions.
      ValueError: `step_size` outside its range.

    References:
      Blondel et al., "Efficient and Modular Implicit Differentiation", arXiv:2105.15183, the
      section on the mirror descent fixed point.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> def objective(x, cost):
      ...     return jnp.sum(x * cost) + jnp.sum(x * jnp.log(x))
      >>> condition = gl.meta.mirror_descent(objective, jnp.log, jax.nn.softmax)
      >>> solve = gl.meta.custom_fixed_point(condition)(lambda init, cost: jax.nn.softmax(-cost))
      >>> jax.jacobian(lambda cost: solve(None, cost))(jnp.zeros(2)).round(3).tolist()
      [[-0.25, 0.25], [0.25, -0.25]]
    """
    owner = "mirror_descent"
    _check_functions(owner, objective=objective, mirror=mirror, projection=projection)
    _check_step(owner, step_size)

    def mapped(x: Any, *args: Any, **kwargs: Any) -> Any:
        slope = jax.grad(objective)(x, *args, **kwargs)
        return projection(jax.tree.map(lambda m, g: m - step_size * g, mirror(x), slope))

    return mapped


def _descended(objective: Objective, step_size: Any, x: Any, args: tuple, kwargs: dict) -> Any:
    slope = jax.grad(objective)(x, *args, **kwargs)
    return jax.tree.map(lambda x, g: x - step_size * g, x, slope)


def _check_functions(owner: str, **functions: Any) -> None:
    for name, function in functions.items():
        if not callable(function):
            raise TypeError(f"{owner}: {name}={function!r} is no function")


def _check_step(owner: str, step_size: Any) -> None:
    if not isinstance(step_size, Tracer) and not np.all(np.asarray(step_size) > 0):
        raise ValueError(f"{owner}: step_size={step_size!r} is outside (0, inf)")
