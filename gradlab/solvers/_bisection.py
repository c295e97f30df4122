"""Bisection: roots between two points at which a function has different signs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradlab import core
from gradlab.core import Scalar, hyper, static
from gradlab.solvers._solver import Function, Progress, Solution, Solver, fitting


class Bracket(NamedTuple):
    """Two trees of numbers, between each two of which a root lies."""

    lower: Any
    upper: Any


class BisectionState(NamedTuple):
    """The bracket, the sign at its lower end, and whether roots are in it, and are found."""

    bracket: Bracket
    sign: Any
    bracketed: Any
    done: Any


class Bisection(Solver):
    """Halves brackets, each number its own."""

    lower: Scalar | None = hyper(default=None)
    upper: Scalar | None = hyper(default=None)
    check_bracket: bool = static(convert=core.flag)
    # Midpoints depend on nothing: there is nothing to differentiate through.
    differentiate: str = static(default="implicit", convert=core.one_of("implicit"))

    reasons = (*Solver.reasons, "the function has one sign at both ends of a bracket")

    def run(self, fn: Callable[..., Any], init: Any = None, *args: Any, **kwargs: Any) -> Solution:
        """Finds the roots.

        Args:
          fn: the function, as `fn(x, *args, **kwargs)`, element by element: its value is a tree
            like x, and each number of it depends on the number at the same place alone.
          init: a `Bracket` of two trees; or a tree to try first, each number between `lower`
            and `upper` (elsewhere their midpoint is); or None for a scalar.
          *args: what else the function depends on; roots have derivatives by it, as they have
            by what `fn` closes over.
          **kwargs: the same, by name.

        Returns:
          The solution. Its error is the largest absolute value of the function, its state what
          is left of the brackets.

        Raises:
          TypeError: `fn` is no function, or the brackets are not of real floating point.
          ValueError: there is no bracket, or, outside of `jit`, the function has one sign at
            both of its ends; the message names the path.
        """
        lower, upper = init if isinstance(init, Bracket) else (self.lower, self.upper)
        if lower is None or upper is None:
            raise ValueError(f"{self.owner()}: lower=… and upper=… are missing, or a Bracket")
        if init is None or isinstance(init, Bracket):
            start = jax.tree.map(lambda a, b: jnp.asarray(a + (b - a) / 2), lower, upper)
        else:
            start = super().prepared(init)
            lower, upper = _everywhere(lower, start), _everywhere(upper, start)
            start = jax.tree.map(_inside, start, lower, upper)
        ends = {"lower": _like(lower, start), "upper": _like(upper, start)}
        return Solver.run(self.with_values(**ends), fn, start, *args, **kwargs)

    def first(self, fn: Function, x: Any) -> BisectionState:
        ends = Bracket(self.lower, self.upper)
        sign = jax.tree.map(jnp.sign, self._values(fn, ends.lower))
        bracketed = jax.tree.map(lambda x: jnp.ones(x.shape, bool), x)
        if self.check_bracket:
            other = jax.tree.map(jnp.sign, self._values(fn, ends.upper))
            bracketed = jax.tree.map(lambda a, b: a * b <= 0, sign, other)
            self._check(bracketed)
        nowhere = jax.tree.map(jnp.zeros_like, bracketed)
        return BisectionState(ends, sign, bracketed, nowhere)

    def observed(self, fn: Function, x: Any, state: BisectionState) -> tuple[Any, jax.Array]:
        values = self._values(fn, x)

        def kept(lower: bool) -> Any:
            def end(x: Any, value: Any, sign: Any, end: Any) -> Any:
                return jnp.where((jnp.sign(value) == sign) == lower, x, end)

            return jax.tree.map(end, x, values, state.sign, state.bracket[0 if lower else 1])

        done = jax.tree.map(lambda v: jnp.abs(v) <= self.tol, values)
        sizes = [jnp.max(jnp.abs(v), initial=0) for v in jax.tree.leaves(values)]
        error = jnp.max(jnp.stack([jnp.asarray(s, core.compute_dtype(s)) for s in sizes]))
        return state._replace(bracket=Bracket(kept(True), kept(False)), done=done), error

    def moved(self, fn: Function, x: Any, state: BisectionState) -> tuple[Any, Any]:
        del fn

        def halved(x: Any, lower: Any, upper: Any, done: Any) -> Any:
            return jnp.where(done, x, lower + (upper - lower) / 2)

        return jax.tree.map(halved, x, *state.bracket, state.done), state

    def residual(self, fn: Function, x: Any) -> Any:
        return fn(x)

    def linear(self) -> Callable[..., Any]:
        return _by_division

    def shown(self, state: BisectionState) -> Bracket:
        return state.bracket

    def reason(self, found: Progress) -> jax.Array:
        inside = jnp.stack([jnp.all(b) for b in jax.tree.leaves(found.state.bracketed)])
        return jnp.where(jnp.all(inside), super().reason(found), 2)

    def _values(self, fn: Function, x: Any) -> Any:
        return fitting(self.owner(), x, fn(x))

    def _check(self, bracketed: Any) -> None:
        for path, inside in jax.tree_util.tree_leaves_with_path(bracketed):
            if not isinstance(inside, Tracer) and not bool(jnp.all(inside)):
                where = f"fn(x){jax.tree_util.keystr(path)}"
                raise ValueError(f"{self.owner()}: {where} has one sign at both ends of a bracket")


def _inside(x: jax.Array, lower: jax.Array, upper: jax.Array) -> jax.Array:
    between = (x - lower) * (upper - x) > 0
    return jnp.where(between, x, lower + (upper - lower) / 2)


def _everywhere(end: Any, start: Any) -> Any:
    return jax.tree.map(lambda x: jnp.full_like(x, end), start)


def _like(end: Any, start: Any) -> Any:
    return jax.tree.map(lambda e, x: jnp.asarray(e, x.dtype), end, start)


def _by_division(product: Callable[[Any], Any], rhs: Any) -> Any:
    """Solves a system whose matrix is diagonal."""
    slopes = product(jax.tree.map(jnp.ones_like, rhs))
    return jax.tree.map(jnp.divide, rhs, slopes)


@core.builds(Bisection)
def bisection(
    lower: Scalar | None = None,
    upper: Scalar | None = None,
    tol: Scalar = 1e-5,
    max_steps: int = 60,
    *,
    check_bracket: bool = True,
    on_failure: str = "ignore",
):
    r"""Bisection finds a root between two points at which a function has different signs.

    $$x = \tfrac12 (l + u), \quad l \leftarrow x \text{ if } \operatorname{sign} f(x) =
    \operatorname{sign} f(l) \text{, else } u \leftarrow x$$

    Each number of a tree has a bracket of its own, all are halved at once, and one whose value
    is at most ε in size stays. The function may rise or fall. The root has derivatives by the
    implicit function theorem, −∂f/∂θ over ∂f/∂x, at the cost of one product.

    Args:
      lower: one end of the bracket, of every number [units of x]. None: `run` is given a
        `gl.solvers.Bracket` of two trees.
      upper: the other end.
      tol: ε [units of f], in [0, inf), for the largest absolute value of the function.
      max_steps: after which it gives up, at least 1; one divides the bracket by two.
      check_bracket: whether to look at both ends first. Outside of `jit`, one sign at both
        raises at once; under `jit` `on_failure="raise"` says so.
      on_failure: what becomes of roots where one was not found. `"ignore"` gives them as they
        are, with `converged` false; `"nan"` makes them and their derivatives NaN, lane by lane
        under `vmap`; `"raise"` raises, under `jit` when the program runs.

    Returns:
      The solver, as data. While it runs it keeps two trees like x, and three of signs and flags.

    Raises:
      TypeError: an argument of the wrong kind.
      ValueError: a number outside its range; when it runs: there is no bracket, or the function
        has one sign at both of its ends.
      ModuleNotFoundError: an error under `jit` needs the extra `meta`.

    References:
      Burden and Faires, Numerical Analysis, 9th edition, 2011, section 2.1. Blondel, Berthet,
      Cuturi, Frostig, Hoyer, Llinares-López, Pedregosa and Vert, "Efficient and Modular Implicit
      Differentiation", arXiv:2105.15183, for the derivative.

    Differs:
      The book ends on the length of the bracket; here, as in jaxopt, on the function's value.

    Example:
      >>> import gradlab as gl, jax
      >>> solver = gl.solvers.bisection(0.0, 10.0)
      >>> root = jax.jit(lambda a: solver.run(lambda x, a: x**3 - a, None, a).params)
      >>> round(float(root(8.0)), 4), round(float(jax.grad(root)(8.0)), 4)
      (2.0, 0.0833)
    """


def _run(solver: Any, problem: Any, init: Any, x: Any) -> Any:
    # Some roots lie above the first guess and some below, so that both ends have a part.
    return solver.run(problem.equation, jax.tree.map(lambda y: y - 1, init), x)


ENTRY = core.Entry(
    bisection,
    formula="x = (l + u) / 2; l = x if sign f(x) = sign f(l) else u = x",
    paper=("burden2011numerical", "M057"),
    example={"lower": -6.0, "upper": 5.0, "tol": 1e-5},
    search_space={"tol": (1e-8, 1e-2, "log")},
    estimate=_run,
)
