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
from gradlab.meta._products import gauss_newton_vector_product, second_derivatives


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
        objective, gauss_newton = self._objective(inner, hyper, params)
        inner_slope, pull = second_derivatives(objective, hyper, params)
        value, (direct, slope) = jax.value_and_grad(outer, argnums=(0, 1))(hyper, params)
        v, back = _linear.flattened(slope)

        def product(x: jax.Array) -> jax.Array:
            image = pull(back(x))[1] if gauss_newton is None else gauss_newton(back(x))
            return _linear.flattened(image)[0]

        solved = self._solve(self.damped(product), v, key)
        total = jax.tree.map(jnp.subtract, direct, pull(back(solved.x))[0])
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

    def _objective(self, inner: Any, hyper: Any, params: Any) -> tuple[Callable, Callable | None]:
        """The inner objective, and a tree times its curvature where that is not the Hessian."""
        if self.product == "hessian":
            if not callable(inner):
                raise TypeError(f"{self.owner()}: inner={inner!r} is no function")
            return inner, None
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


def _at_the_optimum(method: Any, problem: Any, x: Any, key: jax.Array) -> Any:
    found = method(problem.outer, problem.inner, x, problem.solution(x), key=key)
    return found.hypergradient


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
    r"""The derivative of an outer objective by hyperparameters, at an optimum of an inner one.

    $$\frac{d f}{d \lambda} = \frac{\partial f}{\partial \lambda} -
    \frac{\partial^2 g}{\partial \lambda\, \partial w}\, x, \qquad
    (H + \rho I)\, x = \frac{\partial f}{\partial w}, \qquad
    H = \frac{\partial^2 g}{\partial w^2}$$

    for the outer objective f(λ, w) and w a minimum of the inner one, g(λ, w). The optimizer
    that found w has no part in it, and no step of it is stored.

        hypergradient = gl.meta.implicit_hypergradient("cg")
        value, slope, report = hypergradient(outer, inner, hyper, params)

    `outer(hyper, params)` and `inner(hyper, params)` are real scalars; `hyper` and `params` are
    trees. What it gives has derivatives by all of them but for the point's own dependence on
    `hyper`.

    Args:
      solver: how x is found. `"cg"` (conjugate gradients; H + ρI has to be positive definite),
        `"minres"` (minimal residuals; symmetric), `"gmres"`, `"bicgstab"`, `"normal_cg"`
        (conjugate gradients on the square of H + ρI), `"dense"` (it is formed and factorised):
        these go on until the residual is small. `"neumann"` is α Σⱼ (I − α(H + ρI))ʲ ∂f/∂w for
        j from 0 to `steps`, what `steps` + 1 steps of gradient descent from the optimum give;
        `"one_step"` is α ∂f/∂w, what one of them gives; `"nystrom"` replaces H by an
        approximation of low rank, C M⁺ Cᵀ from `rank` of its columns C, drawn at random with
        the `key=` of the call, and M, their rows of the same numbers.
      damping: ρ [units of the inner objective / units of params²], in [0, inf); above 0 for
        `"nystrom"`.
      learning_rate: α [units of params² / units of the inner objective], in (0, inf), for
        `"neumann"` and `"one_step"`. The series converges below 2 over the largest eigenvalue.
      tolerance: how small a residual has to be [share of ‖∂f/∂w‖], in [0, 1). None: the root of
        the precision, 1.5e-8 in float64 and 3.5e-4 in float32.
      steps: of `"neumann"`, at least 0.
      rank: of `"nystrom"`, from 1 to the number of parameters.
      max_steps: after which an iteration gives up; None: ten times the number of parameters.
      product: `"hessian"`, or `"gauss_newton"`, the positive semi-definite part of it that
        leaves out the curvature of the model. It has to be told model and loss apart: `inner` is
        then a pair `(predict, loss)`, of the objective `loss(hyper, predict(hyper, params))`.
      on_failure: what becomes of a hypergradient that is not what the solver promises: no small
        residual, for `"cg"` a direction of negative curvature, for `"neumann"` a series that
        grows, numbers that are not finite. `"raise"` raises, under `jit` when the program runs;
        `"nan"` makes it NaN, lane by lane under `vmap`; `"ignore"` lets it pass. The report
        says it in any case.

    Returns:
      A function of `(outer, inner, hyper, params, key=None)` to a `Hypergradient`: the outer
      objective, its derivative, a tree like `hyper`, and an `ImplicitReport`. State: none. It
      holds a few vectors of the size of the parameters; `"gmres"` about 20, `"nystrom"` `rank`
      of them, `"dense"` a square matrix.

    Raises:
      ModuleNotFoundError: `"gmres"`, `"bicgstab"`, `"normal_cg"` and `"dense"` need lineax, and
        `on_failure="raise"` under `jit` needs equinox; both are in the extra `meta`.
      RuntimeError: at the call: the solver failed, and `on_failure` is `"raise"`.
      TypeError: at the call: numbers that are not real, or no key for `"nystrom"`.
      ValueError: a number outside its range, or an option that the solver needs or does not
        take.

    References:
      Lorraine, Vicol and Duvenaud, "Optimizing Millions of Hyperparameters by Implicit
      Differentiation", arXiv:1911.02590v1, algorithms 2 and 3 (`"neumann"`). Hataya and Yamada,
      "Nyström Method for Accurate and Scalable Implicit Differentiation", arXiv:2302.09726
      (`"nystrom"`). Bolte, Pauwels and Vaiter, "One-Step Differentiation of Iterative
      Algorithms", arXiv:2305.13768v1 (`"one_step"`).

    Differs:
      Algorithm 3 is printed with `p -= v`; the sum of the series, and so `p += v`, is meant. It
      leaves out the factor α; here it is there, without which the sum would be H⁻¹ / α. In
      Woodbury's identity the pseudo-inverse is taken: the matrix that the authors' code of
      `"nystrom"` solves with is singular for a Hessian of lower rank than `rank`.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> def inner(decay, w):  # the minimum is 3 / (1 + decay)
      ...     return (w - 3.0) ** 2 / 2 + decay * w**2 / 2
      >>> hypergradient = gl.meta.implicit_hypergradient("cg")
      >>> found = hypergradient(lambda decay, w: w, inner, 0.5, jnp.array(2.0))
      >>> round(float(found.hypergradient), 4), bool(found.report.converged)
      (-1.3333, True)
    """


ENTRY = core.Entry(
    implicit_hypergradient,
    formula="d/dh = df/dh - d2g/dhdw alpha sum_j (I - alpha H)**j df/dw",
    paper=("M017", "hataya2023nystrom", "bolte2023onestep"),
    # A learning rate far off makes the series diverge, which is to be seen, not raised.
    example={"solver": "neumann", "learning_rate": 0.5, "steps": 60, "on_failure": "ignore"},
    search_space={"learning_rate": (1e-3, 1.0, "log"), "damping": (0.0, 0.1, "linear")},
    estimate=_at_the_optimum,
)
