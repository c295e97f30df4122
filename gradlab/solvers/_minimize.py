"""Minimisation by any optimizer, run until it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab import core
from gradlab.core import Scalar, Transform, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.solvers._solver import Function, Solver


class MinimizeState(NamedTuple):
    """The objective and its gradient where the optimizer is, and the optimizer's state."""

    value: jax.Array
    grad: Any
    inner_state: Any


class Minimize(Solver):
    """Steps of an optimizer, until the error of a condition is small."""

    opt: Transform = hyper()
    condition: str = static(convert=core.one_of("stationary", "fixed_point"))
    has_aux: bool = static(convert=core.flag)

    def first(self, fn: Function, x: Any) -> MinimizeState:
        return MinimizeState(jnp.zeros([]), x, self.opt.init(x))

    def observed(self, fn: Function, x: Any, state: MinimizeState) -> tuple[Any, jax.Array]:
        value, grad = _remembered(self._slope(fn), x, state.inner_state)
        if self.condition == "stationary":
            error = core.global_norm(grad)
        else:
            error = core.global_norm(self._update(fn, x, value, grad, self.opt.init(x))[0])
        return MinimizeState(value, grad, state.inner_state), error

    def moved(self, fn: Function, x: Any, state: MinimizeState) -> tuple[Any, Any]:
        updates, inner = self._update(fn, x, *state)
        return optax.apply_updates(x, updates), state._replace(inner_state=inner)

    def last(self, fn: Function, x: Any, state: MinimizeState) -> Any:
        updates, _ = self._update(fn, x, *self._slope(fn)(x), state.inner_state)
        return optax.apply_updates(x, updates)

    def residual(self, fn: Function, x: Any) -> Any:
        value, grad = self._slope(fn)(x)
        if self.condition == "stationary":
            return grad
        updates, _ = self._update(fn, x, value, grad, self.opt.init(x))
        return jax.tree.map(jnp.negative, updates)

    def linear(self) -> str:
        return "cg" if self.condition == "stationary" else "normal_cg"

    def beside(self, fn: Callable[..., Any], params: Any, args: tuple, kwargs: dict) -> Any:
        return fn(params, *args, **kwargs)[1] if self.has_aux else None

    def shown(self, state: MinimizeState) -> Any:
        return state.inner_state

    def _objective(self, fn: Function) -> Function:
        return (lambda x: fn(x)[0]) if self.has_aux else fn

    def _slope(self, fn: Function) -> Callable[[Any], tuple[jax.Array, Any]]:
        return jax.value_and_grad(self._objective(fn))

    def _update(self, fn: Function, x: Any, value: Any, grad: Any, state: Any) -> tuple[Any, Any]:
        objective = self._objective(fn)
        grad_fn = jax.grad(objective)

        # Line searches of optax refuse what neither they nor this function take.
        def value_fn(x: Any, grad_fn: Any = grad_fn) -> Any:
            del grad_fn
            return objective(x)

        extra = {"value": value, "grad": grad, "value_fn": value_fn, "grad_fn": grad_fn}
        return self.opt.update(grad, state, x, **extra)


def _remembered(slope: Callable, x: Any, state: Any) -> tuple[jax.Array, Any]:
    """The objective and its gradient, without computing them where a line search has.

    That has to be the last part of a chain: others would move the parameters elsewhere.
    """
    while isinstance(state, tuple) and state and not hasattr(state, "_fields"):
        state = state[-1]
    known: Any = state
    if not {"value", "grad"} <= set(getattr(state, "_fields", ())) or known.grad is None:
        return slope(x)
    shapes = jax.eval_shape(slope, x)
    like = jax.tree.map(lambda a, b: jnp.asarray(a, b.dtype), (known.value, known.grad), shapes)
    return lax.cond(jnp.isfinite(like[0]), lambda: like, lambda: slope(x))


@core.builds(Minimize)
def minimize(
    opt: Transform,
    tol: Scalar = 1e-4,
    max_steps: int = 1000,
    *,
    condition: str = "stationary",
    differentiate: str = "implicit",
    linear_solver: Any = None,
    memory: str | int = "plain",
    has_aux: bool = False,
    on_failure: str = "ignore",
):
    r"""Minimises by any optimizer until the error is small, with the derivatives of the solution.

    $$\|\nabla_x f(x, \theta)\|_2 \le \epsilon \quad\text{or}\quad \|T(x, \theta) - x\|_2 \le
    \epsilon$$

    with T a step of the optimizer from a fresh state. `minimize(opt).run(objective, init, *args)`
    is a `Solution` whose parameters have derivatives by `args`, by what the objective closes
    over, and by hyperparameters of the optimizer on which the solution depends: the strength of
    a proximal step, say.

    Args:
      opt: any optimizer, of gradlab or of optax. `update` is given `value`, `grad`, `value_fn`
        and `grad_fn`. Where its last part is a line search that keeps value and gradient of the
        point that it found, these are not computed again.
      tol: ε [units of the gradient, or of the parameters for a fixed point], in [0, inf). The
        norm is the Euclidean one of all parameters together.
      max_steps: after which it gives up, at least 1.
      condition: `"stationary"`: the gradient is zero. `"fixed_point"`: a step from a fresh state
        leads nowhere; for optimizers that project, or take proximal or mirror steps, whose
        solution need not have a gradient of zero. It takes one more update for each step.
      differentiate: `"implicit"`: by the implicit function theorem, at the cost of one linear
        system, whatever the path was. `"unroll"`: through the steps that were made, as a scan of
        `max_steps` of which the rest do nothing; by the starting point and every hyperparameter,
        too. From a start near the solution these are few, and so is what they say. `"one_step"`:
        through one more step, with the optimizer's state held, which is near where steps contract
        fast. These two are for forward mode alone where an optimizer has loops of any length, as
        line searches do.
      linear_solver: of `"implicit"`, what `gl.meta.custom_root` takes as `solver`: a name,
        `gl.meta.linear_solver(…)`, or a function. None: `"cg"` for a stationary point and
        `"normal_cg"` for a fixed point.
      memory: of `"unroll"`, what is stored and what computed again, as in `gl.meta.unroll`.
      has_aux: whether the objective returns a pair of a scalar and of something else, which the
        solution has as `aux`.
      on_failure: what becomes of parameters that did not converge. `"ignore"` gives them as they
        are, with `converged` false; `"nan"` makes them and their derivatives NaN, lane by lane
        under `vmap`; `"raise"` raises, under `jit` when the program runs.

    Returns:
      The solver, as data. While it runs it keeps the optimizer's state and one gradient.

    Raises:
      TypeError: `opt` is no gradient transformation, or an argument of the wrong kind.
      ValueError: a number outside its range, or an unknown word.
      ModuleNotFoundError: a linear solver, or an error under `jit`, needs the extra `meta`.

    References:
      Blondel, Berthet, Cuturi, Frostig, Hoyer, Llinares-López, Pedregosa and Vert, "Efficient
      and Modular Implicit Differentiation", arXiv:2105.15183. Bolte, Pauwels and Vaiter,
      "One-Step Differentiation of Iterative Algorithms", arXiv:2305.13768v1.

    Differs:
      The error is that of the parameters that are returned, so that a start which is a solution
      takes no step.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> def objective(x, a):
      ...     return jnp.sum((x - a) ** 2)
      >>> solver = gl.solvers.minimize(gl.sgd(0.25), tol=1e-6)
      >>> solve = jax.jit(lambda a: solver.run(objective, jnp.zeros(2), a))
      >>> int(solve(jnp.array([1.0, 2.0])).steps)
      23
      >>> jax.jacobian(lambda a: solve(a).params)(jnp.array([1.0, 2.0])).tolist()
      [[1.0, 0.0], [0.0, 1.0]]
    """


def _run(solver: Any, problem: Any, init: Any, x: Any) -> Any:
    return solver.run(problem.objective, init, x)


ENTRY = core.Entry(
    minimize,
    formula="x <- x + opt(grad f(x)) until |grad f(x)| <= tol",
    paper=("M057", "bolte2023onestep"),
    example={"opt": sgd(0.3), "tol": 1e-5, "max_steps": 400},
    search_space={"tol": (1e-8, 1e-2, "log")},
    estimate=_run,
)
