"""Backtracking: the first of ever shorter steps that decreases the objective enough."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Scalar, hyper, static
from gradlab.transforms._ray import SearchOfOptax, with_real_objective


class BacktrackingLinesearch(SearchOfOptax):
    """Shortens a step until the objective decreases enough."""

    theirs = staticmethod(optax.scale_by_backtracking_linesearch)

    max_backtracking_steps: int = static(convert=core.count_at_least(0))
    slope_rtol: Scalar = hyper("[0, 1]")
    decrease_factor: Scalar = hyper("(0, 1)")
    increase_factor: Scalar = hyper("(0, inf]")
    max_learning_rate: Scalar = hyper("(0, inf]")
    atol: Scalar = hyper("[0, inf)")
    rtol: Scalar = hyper("[0, inf)")
    store_grad: bool = static(convert=core.flag)
    verbose: bool = static(convert=core.flag)

    def accepted(self, found: Any, state: Any) -> jax.Array:
        """How often the step was shortened is constant; the step itself is not."""
        # Zero times an infinite factor would be no number, in derivatives that nobody uses.
        unbounded = jnp.isinf(self.increase_factor)
        grown = jnp.where(unbounded, 1.0, self.increase_factor) * state.learning_rate
        guess = jnp.minimum(jnp.where(unbounded, jnp.inf, grown), self.max_learning_rate)
        shortened = found.info.num_linesearch_steps - 1
        step = jnp.asarray(guess * self.decrease_factor**shortened, state.learning_rate.dtype)
        step = jnp.where(jnp.isfinite(found.info.decrease_error), step, 0.0)
        return found.learning_rate + (step - jax.lax.stop_gradient(step))


@core.builds(BacktrackingLinesearch)
def scale_by_backtracking_linesearch(
    max_backtracking_steps: int,
    slope_rtol: Scalar = 1e-4,
    decrease_factor: Scalar = 0.8,
    increase_factor: Scalar = 1.5,
    max_learning_rate: Scalar = 1.0,
    atol: Scalar = 0.0,
    rtol: Scalar = 0.0,
    store_grad: bool = False,
    verbose: bool = False,
):
    r"""Backtracking takes the first of ever shorter steps that decreases the objective enough.

    $$\eta = \min(i\,\eta_{t-1}, \eta_{\max})\,d^{\,k},\quad
    f(\theta + \eta u) \le (1 + r) f(\theta) + c\,\eta \langle u, \nabla f(\theta)\rangle + a$$

    with the smallest k that satisfies it. u are the updates that it is handed, which have to
    point downhill: it stands behind what makes a step of gradients.

    Args:
      max_backtracking_steps: how often the step is shortened at most, at least 0.
      slope_rtol: the part c of the decrease that the slope promises, in [0, 1].
      decrease_factor: what a step is multiplied by that was too long, d in (0, 1).
      increase_factor: what the last step is multiplied by to begin with, i in (0, inf]; inf
        begins with `max_learning_rate` every time.
      max_learning_rate: the longest step η, in (0, inf].
      atol: how far the condition may be missed, a in [0, inf) [value of the objective].
      rtol: the same, r in [0, inf), in multiples of the objective's value.
      store_grad: whether the state holds the gradient at the end of the step, for
        `value_and_grad_from_state`.
      verbose: whether to print a line when no step was found.

    Returns:
      The transformation, for `update(updates, state, params, value=f(params), grad=its gradient,
      value_fn=f)`; extra arguments that `f` takes by name are handed on to it. State: four
      numbers, of which `info.decrease_error` is above `atol` where no step was found (the
      shortest one tried is then taken; none where the objective is not finite there); with
      `store_grad` 1 × params more, in the parameters' dtype.

    Raises:
      TypeError: `value`, `grad` or `value_fn` is missing.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Armijo, "Minimization of functions having Lipschitz continuous first partial derivatives",
      1966. Nocedal and Wright, "Numerical Optimization", 2nd edition, 2006, Algorithm 3.1.
      Vaswani et al., "Painless Stochastic Gradient", arXiv:1905.09997, for the growth of the
      first guess. optax 0.2.8, `scale_by_backtracking_linesearch`, whose search this is.

    Differs:
      From optax: extra arguments that `value_fn` does not take pass through. Parameters below 32
      bits are searched along in float32. How often a step is shortened is constant to
      derivatives, so that both modes work: optax's search has no reverse mode. Only the Armijo
      condition is offered; `scale_by_zoom_linesearch` satisfies the strong Wolfe conditions.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.chain(gl.sgd(1.0), gl.scale_by_backtracking_linesearch(20))
      >>> def objective(x):
      ...     return 5.0 * x**2
      >>> value, grad = jax.value_and_grad(objective)(1.0)
      >>> update, state = opt.update(
      ...     grad, opt.init(1.0), 1.0, value=value, grad=grad, value_fn=objective
      ... )
      >>> round(float(state[1].learning_rate), 4), bool(objective(1.0 + update) < value)
      (0.1678, True)
    """


ENTRY = core.Entry(
    scale_by_backtracking_linesearch,
    formula="lr = min(i lr, max_lr) d^k, least k with f(p + lr u) <= f(p) + c lr <u, grad f>",
    paper=("armijo1966minimization", "vaswani2019painless"),
    example={
        "max_backtracking_steps": 12,
        "slope_rtol": 0.2,
        "decrease_factor": 0.3,
        "increase_factor": 1.2,
        "max_learning_rate": 0.03,
    },
    search_space={"decrease_factor": (0.3, 0.9, "linear"), "increase_factor": (1.0, 4.0, "log")},
    needs=("value", "grad", "value_fn", "descent"),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where the number of times that a step is shortened changes, the step jumps; the "
        "number is taken as constant.",
    ),
    extra=with_real_objective,
)
