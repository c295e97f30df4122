"""What a solver is: data with a loop, whose result has derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.core import Data, Scalar, hyper, part, static
from gradlab.meta import _checkpointed_scan, _linear, _roots

DIFFERENTIATE = ("implicit", "unroll", "one_step")

Function = Callable[[Any], Any]
"""The problem as a function of the unknowns alone."""


class Solution(NamedTuple):
    """What a solver found.

    Attributes:
      params: the solution, a tree like the starting point. It alone, and `aux`, have derivatives
        unless the solver was unrolled.
      error: how far it is from meeting the solver's condition, a scalar.
      steps: how many steps were made.
      converged: whether the error is at most the tolerance.
      state: what the method kept beside the parameters.
      aux: what the objective gave beside its value at the solution, with `has_aux`; or None.
    """

    params: Any
    error: jax.Array
    steps: jax.Array
    converged: jax.Array
    state: Any = None
    aux: Any = None


class ByHand(Data):
    """A linear solver that a user wrote: `solve(product, rhs)`."""

    solve: Callable[..., Any] = static()


def linear_choice(value: Any) -> Data | None:
    """A linear solver as data: of a name, of a function, or as it is."""
    if value is None or isinstance(value, _linear.LinearSolver | ByHand):
        return value
    if isinstance(value, str):
        return core.build(_linear.LinearSolver, "linear_solver", solver=value)
    if callable(value):
        return ByHand(solve=value)
    raise TypeError("expected a name, gradlab.meta.linear_solver(…), a function or None")


class Progress(NamedTuple):
    """What goes round the loop: unknowns, what the method keeps, and how far it came."""

    params: Any
    state: Any
    error: jax.Array
    steps: jax.Array


class Solver(Data):
    """A method that goes on until its error is small.

    Subclasses say where they begin, what the error is, what a step does, and which equations
    a solution satisfies. In all of these the problem is a function of the unknowns alone.

    Attributes:
      reasons: why it may fail, for messages.
    """

    tol: Scalar = hyper("[0, inf)")
    linear_solver: Data | None = part(default=None, convert=linear_choice)
    max_steps: int = static(convert=core.count_at_least(1))
    differentiate: str = static(default="implicit", convert=core.one_of(*DIFFERENTIATE))
    memory: str | int = static(default="plain")
    on_failure: str = static(default="ignore", convert=core.one_of(*_linear.ON_FAILURE))

    reasons: ClassVar[tuple[str, ...]] = (
        "it did not reach its tolerance tol=… within max_steps=…: both may be raised, where the "
        "precision of these dtypes allows",
        "its error is not finite: it diverged, or the problem is not finite where it came to",
    )

    def present(self) -> Any:
        if self.memory != "plain" and self.differentiate != "unroll":
            raise ValueError(f"{self.owner()}: memory={self.memory!r} is for 'unroll' alone")
        if self.linear_solver is not None and self.differentiate != "implicit":
            raise ValueError(
                f"{self.owner()}: differentiate={self.differentiate!r} takes no linear_solver=…"
            )
        return self

    def run(self, fn: Callable[..., Any], init: Any, *args: Any, **kwargs: Any) -> Solution:
        """Solves the problem.

        Outside of `jax.jit` every call compiles its loop anew.

        Args:
          fn: the problem, as `fn(params, *args, **kwargs)`; the solver says what its value is.
          init: where to start, a tree of real arrays. It has no part in derivatives, unless
            the solver is unrolled.
          *args: what else the problem depends on. The solution has derivatives by every real
            number among these, by those in `**kwargs`, by those that `fn` closes over, and by
            hyperparameters of the solver with which the solution changes.
          **kwargs: the same, by name.

        Returns:
          The solution, and whether it is one.

        Raises:
          TypeError: `fn` is no function, or `init` has arrays that are not real floating point.
          ValueError: the value of `fn` does not fit the unknowns.
          RuntimeError: it did not converge, with `on_failure="raise"`; or on differentiation,
            the linear system was not solved, see `gradlab.meta.linear_solver`.
        """
        if not callable(fn):
            raise TypeError(f"{self.owner()}: fn={fn!r} is no function")
        if self.differentiate == "unroll":
            found = self._unrolled(lambda x: fn(x, *args, **kwargs), self.prepared(init))
            params = found.params
        else:
            # How the solution was found has no part in its derivative.
            solver, start = jax.tree.map(_roots.held, (self, self.prepared(init)))
            problem = quiet(lambda x: fn(x, *args, **kwargs), start)
            found = jax.tree.map(_roots.held, solver._repeated(problem, start))
            params = self._with_derivative(fn, found)(None, *args, **kwargs)
        error, steps = jax.tree.map(lax.stop_gradient, (found.error, found.steps))
        converged = self.met(found)
        params = self._told(params, converged, self.reason(found))
        aux = self.beside(fn, params, args, kwargs)
        return Solution(params, error, steps, converged, self.shown(found.state), aux)

    def prepared(self, init: Any) -> Any:
        """The unknowns to start with, as arrays of their own dtypes."""
        _linear.check_real(self.owner(), "init", init)
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), init)

    def first(self, fn: Function, x: Any) -> Any:
        """What the method keeps, before the first point is looked at."""
        raise NotImplementedError(f"{type(self).__name__} has to define first")

    def observed(self, fn: Function, x: Any, state: Any) -> tuple[Any, jax.Array]:
        """The state, with what the next step reads of this point; and the error here."""
        raise NotImplementedError(f"{type(self).__name__} has to define observed")

    def moved(self, fn: Function, x: Any, state: Any) -> tuple[Any, Any]:
        """One step, from a point that was observed."""
        raise NotImplementedError(f"{type(self).__name__} has to define moved")

    def last(self, fn: Function, x: Any, state: Any) -> Any:
        """One more step from the solution, whose derivative `"one_step"` takes."""
        raise NotImplementedError(f"{type(self).__name__} has to define last")

    def residual(self, fn: Function, x: Any) -> Any:
        """What is zero at a solution, a tree like it."""
        raise NotImplementedError(f"{type(self).__name__} has to define residual")

    def linear(self) -> Any:
        """How linear systems with the derivative of the residual are solved by default."""
        return "normal_cg"

    def beside(self, fn: Callable[..., Any], params: Any, args: tuple, kwargs: dict) -> Any:
        """What the problem gives beside its value; nothing by default."""
        del fn, params, args, kwargs

    def shown(self, state: Any) -> Any:
        """What a user sees of the state."""
        return state

    def met(self, found: Progress) -> jax.Array:
        """Whether it converged."""
        return found.error <= self.tol

    def reason(self, found: Progress) -> jax.Array:
        """Why it failed, as an index of `reasons`."""
        return jnp.where(jnp.isfinite(found.error), 0, 1)

    def _begun(self, fn: Function, x: Any) -> Progress:
        state, error = self.observed(fn, x, self.first(fn, x))
        return Progress(x, state, error, jnp.zeros([], jnp.int32))

    def _step(self, fn: Function, now: Progress) -> Progress:
        x, state = self.moved(fn, now.params, now.state)
        state, error = self.observed(fn, x, state)
        return Progress(x, state, error, now.steps + 1)

    def _repeated(self, fn: Function, x: Any) -> Progress:
        def going(now: Progress) -> jax.Array:
            # An error that is not a number is larger than nothing: it ends the loop.
            return (now.error > self.tol) & (now.steps < self.max_steps)

        return lax.while_loop(going, lambda now: self._step(fn, now), self._begun(fn, x))

    def _unrolled(self, fn: Function, x: Any) -> Progress:
        """The same steps as a scan, which does nothing once it is there."""

        def step(solver: Any, now: Progress, _: Any) -> tuple[Progress, None]:
            going = now.error > solver.tol
            return lax.cond(going, lambda now: solver._step(fn, now), lambda now: now, now), None

        first, steps = self._begun(fn, x), self.max_steps
        counted = (step, self, first, jnp.arange(steps), steps)
        plan = _checkpointed_scan.plan_for(self.memory, *counted, self.owner())
        return _checkpointed_scan.scan(*counted, plan)[0]

    def _with_derivative(self, fn: Callable[..., Any], found: Progress) -> Callable[..., Any]:
        """What was found, as a function of all that the problem depends on."""

        def of(method: Callable[..., Any]) -> Callable[..., Any]:
            return lambda x, /, *a, **k: method(lambda y: fn(y, *a, **k), x)

        def stepped(fn: Function, x: Any) -> Any:
            return jax.tree.map(jnp.subtract, x, self.last(fn, x, found.state))

        if self.differentiate == "one_step":
            residual, solver = of(stepped), self._named("one_step", learning_rate=1.0)
        else:
            residual, solver = of(self.residual), self.linear_solver or self.linear()
            solver = solver.solve if isinstance(solver, ByHand) else solver
            solver = self._named(solver) if isinstance(solver, str) else solver
        linear = _roots.adopted(self.owner(), solver)
        return _roots.differentiated(
            self.owner(), residual, linear, False, lambda init, *args, **kwargs: found.params
        )

    def _named(self, name: str, **given: Any) -> Data:
        # Where parameters become NaN, their derivatives do, instead of an error.
        on_failure = "nan" if self.on_failure == "nan" else "raise"
        options = {"solver": name, "on_failure": on_failure, **given}
        return core.build(_linear.LinearSolver, self.owner(), **options)

    def _told(self, params: Any, converged: jax.Array, reason: jax.Array) -> Any:
        what = (self.owner(), self.on_failure)
        if self.on_failure != "nan":
            return _linear.told(*what, params, ~converged, reason, self.reasons)
        # As a factor it makes derivatives NaN, too.
        factor = _linear.told(*what, jnp.ones([]), ~converged, reason, self.reasons)
        return jax.tree.map(lambda x: x * factor.astype(x.dtype), params)


def fitting(owner: str, x: Any, value: Any) -> Any:
    """A value that has to be a tree like the unknowns, in their dtypes.

    Raises:
      ValueError: it is another tree; the message names the path.
    """
    _roots.check_like(owner, x, value)
    return jax.tree.map(lambda x, v: jnp.asarray(v, x.dtype), x, value)


def quiet(fn: Function, x: Any) -> Function:
    """A function of one tree, like x, without a derivative by what it closes over."""
    numbers, of = _roots.separated(fn, x, (), {})
    numbers = jax.tree.map(_roots.held, numbers)
    return lambda x: of(x, numbers)
