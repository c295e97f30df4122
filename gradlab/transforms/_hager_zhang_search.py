"""The rule of Hager and Zhang's search, and the search: one evaluation at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static
from gradlab.transforms._ray import LineSearch, Ray, init_like_optax, slope


class HagerZhangLinesearchState(NamedTuple):
    """The step, and the objective where it ended."""

    learning_rate: Any
    value: Any
    grad: Any
    info: Any


class HagerZhangLinesearch(LineSearch):
    """Brackets a step with slopes of opposite sign, and closes in by secants."""

    max_linesearch_steps: int = static(convert=core.count_at_least(1))
    max_learning_rate: Scalar | None = hyper("(0, inf]")
    slope_rtol: Scalar = hyper("(0, 0.5)")
    curv_rtol: Scalar = hyper("(0, 1)")
    approx_dec_rtol: Scalar = hyper("[0, inf)")
    bisection_weight: Scalar = hyper("(0, 1)")
    shrink_factor: Scalar = hyper("(0, 1)")
    increase_factor: Scalar = hyper("(1, inf)")
    initial_factor: Scalar = hyper("(0, inf)")
    probe_factor: Scalar = hyper("(0, inf)")
    growth_factor: Scalar = hyper("(0, inf)")
    initial_guess_strategy: str = static(convert=core.one_of("interpolate", "keep", "one"))

    def init(self, params: Params) -> HagerZhangLinesearchState:
        state = init_like_optax(optax.scale_by_zoom_linesearch(1), params)
        return HagerZhangLinesearchState(*state._replace(learning_rate=0 * state.learning_rate))

    def search(self, ray: Ray, state: Any) -> Any:
        dtype, infinite = state.learning_rate.dtype, jnp.full_like(state.learning_rate, jnp.inf)
        value_and_grad = jax.value_and_grad(ray.objective)

        def evaluate(step: jax.Array) -> tuple:
            place = jax.tree.map(lambda x, u: x + step * u, ray.start, ray.direction)
            value, grad = value_and_grad(place)
            return value.astype(dtype), slope(ray.direction, grad).astype(dtype), grad

        at_zero = slope(ray.direction, ray.grad).astype(dtype)
        start = Point(jnp.zeros_like(infinite), ray.value, at_zero, ray.grad, infinite, infinite)
        bound = infinite if self.max_learning_rate is None else self.max_learning_rate
        last, again = state.learning_rate, state.learning_rate > 0
        guess = jnp.where(
            again, last, first_guess(self.initial_factor, ray.start, ray.direction, start)
        )
        if self.initial_guess_strategy == "one":
            guess = jnp.ones_like(guess)
        probe = again & (self.initial_guess_strategy == "interpolate")
        found, count = search(self, evaluate, start, guess, probe, bound)
        info = optax.ZoomLinesearchInfo(count, found.decrease_error, found.curvature_error)
        return HagerZhangLinesearchState(found.step, found.value, found.grad, info)


PROBE, BRACKET, BISECT, SECANT, SECOND, MIDDLE = range(6)
"""What a trial step is for: the guess, B1–B3, U3, S1, S2 and S3, L2."""


class Point(NamedTuple):
    """A step, and the objective there.

    Attributes:
      step, value, slope: the step, φ and φ′.
      grad: the gradient, a tree.
      decrease_error, curvature_error: how far the conditions are missed; zero where they hold.
    """

    step: jax.Array
    value: jax.Array
    slope: jax.Array
    grad: Any
    decrease_error: jax.Array
    curvature_error: jax.Array


class Progress(NamedTuple):
    """Where the search is.

    Attributes:
      count: evaluations so far.
      phase: what the next trial is for.
      trial: the next trial step.
      a, b, slope_a, slope_b: an interval and the slopes at its ends; b is inf before there is
        one.
      width: of the interval at the last L1.
      slow: whether the interval is compared with that width when U3 is through.
      best: the lowest point so far that decreases the objective enough; before there is one the
        start, with the errors of the last trial.
      done: whether the search is over.
    """

    count: jax.Array
    phase: jax.Array
    trial: jax.Array
    a: jax.Array
    b: jax.Array
    slope_a: jax.Array
    slope_b: jax.Array
    width: jax.Array
    slow: jax.Array
    best: Point
    done: jax.Array


def search(
    h: Any, evaluate: Callable[[jax.Array], tuple], start: Point, guess: Any, probe: Any, bound: Any
) -> tuple[Point, jax.Array]:
    """Looks for a step that satisfies the Wolfe or the approximate Wolfe conditions.

    Args:
      h: the rule with its hyperparameters.
      evaluate: from a step to value, slope and gradient.
      start: the point at zero. Where its slope is not negative, nothing is looked for, and the
        slope is how far the decrease is missed.
      guess: the first trial step, without `probe`.
      probe: whether the trial step is to be interpolated from the value at `probe_factor` times
        the last one, `guess`.
      bound: the longest step.

    Returns:
      The point that was found, and the number of evaluations. If none was found, the start, with
      the errors of the last trial.
    """
    zero, value, slope_0 = jnp.zeros_like(start.step), start.value, start.slope
    limit = value + h.approx_dec_rtol * jnp.abs(value)

    def measured(step: jax.Array) -> Point:
        v, s, grad = evaluate(step)
        armijo = v - value - h.slope_rtol * step * slope_0
        approximate = jnp.maximum(s - (2 * h.slope_rtol - 1) * slope_0, v - limit)
        decrease = jnp.maximum(jnp.minimum(armijo, approximate), 0.0)
        curvature = jnp.maximum(h.curv_rtol * slope_0 - s, 0.0)
        usable = jnp.isfinite(v) & jnp.isfinite(s)
        errors = (jnp.where(usable, x, jnp.inf) for x in (decrease, curvature))
        return Point(step, v, s, grad, *errors)

    def advance(p: Progress) -> Progress:
        c = measured(p.trial)
        usable = jnp.isfinite(c.value) & jnp.isfinite(c.slope)
        rising = usable & (c.slope >= 0)  # B1, U1
        falling = usable & (c.slope < 0) & (c.value <= limit)  # B3, U2
        beyond = ~(rising | falling)  # B2, U3: a minimum lies between here and a
        at = [p.phase == name for name in range(6)]

        # The interval after this trial.
        a, slope_a = jnp.where(falling, c.step, p.a), jnp.where(falling, c.slope, p.slope_a)
        b, slope_b = jnp.where(falling, p.b, c.step), jnp.where(falling, p.slope_b, c.slope)
        from_zero = beyond & at[BRACKET]
        a, slope_a = jnp.where(from_zero, zero, a), jnp.where(from_zero, slope_0, slope_a)
        bisects = beyond | (at[BISECT] & falling)
        expands = at[BRACKET] & falling

        # The next trial in a finished interval.
        behind, slope_behind = jnp.where(rising, p.b, p.a), jnp.where(rising, p.slope_b, p.slope_a)
        second = _secant(behind, slope_behind, c.step, c.slope)
        takes_second = at[SECANT] & (second > a) & (second < b)
        compares = at[SECANT] | at[SECOND] | (at[BISECT] & p.slow)
        too_wide = compares & (b - a > h.shrink_factor * p.width)
        first = _secant(a, slope_a, b, slope_b)
        takes_first = (first > a) & (first < b)
        cases = [expands, bisects, takes_second, ~too_wide & takes_first]
        goes_on = expands | bisects | takes_second | too_wide  # and is not at L1 again
        phase = jnp.select(cases, [BRACKET, BISECT, SECOND, SECANT], MIDDLE)
        weighted = (1 - h.bisection_weight) * a + h.bisection_weight * b
        longer = jnp.minimum(h.increase_factor * c.step, bound)
        trial = jnp.select(cases, [longer, weighted, second, first], (a + b) / 2)

        accepted = (c.decrease_error <= 0) & (c.curvature_error <= 0)
        better = (c.decrease_error <= 0) & (c.value < p.best.value)
        best = jax.tree.map(lambda new, old: jnp.where(accepted | better, new, old), c, p.best)
        missed = _missing(start, c.decrease_error, c.curvature_error)
        best = jax.tree.map(lambda x, y: jnp.where(best.step == 0, x, y), missed, best)
        stuck = jnp.where(expands, c.step >= bound, ~((trial > a) & (trial < b)))
        after = Progress(
            count=p.count + 1,
            phase=phase,
            trial=trial,
            a=a,
            b=b,
            slope_a=slope_a,
            slope_b=slope_b,
            width=jnp.where(goes_on, p.width, b - a),
            slow=jnp.where(at[BISECT], p.slow, at[SECANT] | at[SECOND]),
            best=best,
            done=accepted | stuck,
        )
        # I1 and I2: the value alone at a fraction of the last step.
        curved = ((c.value - value) / c.step - slope_0) / c.step
        convex = (c.value <= value) & (curved > 0) & jnp.isfinite(c.value)
        trial = jnp.where(convex, -slope_0 / (2 * curved), h.growth_factor * guess)
        guessed = p._replace(
            count=p.count + 1, phase=jnp.full_like(phase, BRACKET), trial=jnp.minimum(trial, bound)
        )
        return jax.tree.map(lambda x, y: jnp.where(at[PROBE], x, y), guessed, after)

    descends = (slope_0 < 0) & jnp.isfinite(value)
    begin = Progress(
        count=jnp.zeros([], jnp.int32),
        phase=jnp.where(probe, PROBE, BRACKET),
        trial=jnp.minimum(jnp.where(probe, h.probe_factor, 1.0) * guess, bound),
        a=zero,
        b=zero + jnp.inf,
        slope_a=slope_0,
        slope_b=slope_0,
        width=zero + jnp.inf,
        slow=jnp.zeros([], bool),
        best=_missing(start, jnp.where(slope_0 >= 0, slope_0, jnp.inf), zero),
        done=~descends,
    )
    end = lax.while_loop(lambda p: ~p.done & (p.count < h.max_linesearch_steps), advance, begin)
    return end.best, end.count


def first_guess(factor: Any, params: Params, direction: Updates, start: Point) -> jax.Array:
    """I0: a step that changes the largest parameter, or the value, by a part of itself."""
    size, length = (_largest(tree).astype(start.step.dtype) for tree in (params, direction))
    by_value = core.divide(factor * jnp.abs(start.value), jnp.abs(start.slope))
    guess = jnp.where(size > 0, core.divide(factor * size, length), by_value)
    return jnp.where((guess > 0) & jnp.isfinite(guess), guess, 1.0)


def _largest(tree: Any) -> jax.Array:
    sizes = [jnp.max(jnp.abs(x), initial=0) for x in jax.tree.leaves(tree)]
    return jnp.max(jnp.stack([jnp.asarray(size, sizes[0].dtype) for size in sizes]))


def _missing(start: Point, decrease_error: jax.Array, curvature_error: jax.Array) -> Point:
    return start._replace(decrease_error=decrease_error, curvature_error=curvature_error)


def _secant(a: Any, slope_a: Any, b: Any, slope_b: Any) -> jax.Array:
    """Where a line through two slopes is zero; not a number where it is level."""
    return (a * slope_b - b * slope_a) / (slope_b - slope_a)
