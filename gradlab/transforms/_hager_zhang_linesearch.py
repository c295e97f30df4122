"""The line search of Hager and Zhang, which sees a decrease that rounding hides."""

from __future__ import annotations

from gradlab import core
from gradlab.core import Scalar
from gradlab.transforms._hager_zhang_search import HagerZhangLinesearch
from gradlab.transforms._ray import with_bumps


@core.builds(HagerZhangLinesearch)
def scale_by_hager_zhang_linesearch(
    max_linesearch_steps: int = 50,
    max_learning_rate: Scalar | None = None,
    slope_rtol: Scalar = 0.1,
    curv_rtol: Scalar = 0.9,
    approx_dec_rtol: Scalar = 1e-6,
    bisection_weight: Scalar = 0.5,
    shrink_factor: Scalar = 0.66,
    increase_factor: Scalar = 5.0,
    initial_factor: Scalar = 0.01,
    probe_factor: Scalar = 0.1,
    growth_factor: Scalar = 2.0,
    initial_guess_strategy: str = "interpolate",
):
    r"""The Hager–Zhang search finds a step by slopes, where rounding hides the decrease, too.

    $$\varphi(\eta) \le \varphi(0) + \delta\,\eta\,\varphi'(0),\ \
    \varphi'(\eta) \ge \sigma\varphi'(0)\quad\text{or}\quad
    (2\delta - 1)\varphi'(0) \ge \varphi'(\eta) \ge \sigma\varphi'(0),\ \
    \varphi(\eta) \le \varphi(0) + \epsilon|\varphi(0)|$$

    with $\varphi(\eta) = f(\theta + \eta u)$. The second pair, the approximate Wolfe
    conditions, needs no difference of values that are equal but for rounding. Trial steps grow
    until the slope turns; the interval is narrowed by two secant steps a round, by halving it
    where that is too slow. u are the updates that it is handed, which have to point downhill: it
    stands behind what makes a step of gradients.

    Args:
      max_linesearch_steps: evaluations of value and gradient at most, at least 1.
      max_learning_rate: the longest step η, in (0, inf]; None is no bound.
      slope_rtol: the part δ of the decrease that the slope promises, in (0, 0.5).
      curv_rtol: how much of the slope may be left, σ in (0, 1), not below `slope_rtol`.
      approx_dec_rtol: how much the value may rise, ε in [0, inf), in multiples of itself.
      bisection_weight: where an interval that holds a bump is cut, θ in (0, 1).
      shrink_factor: what a round has to shorten the interval to, γ in (0, 1), or it is halved.
      increase_factor: what a step is multiplied by while none is long enough, ρ in (1, inf).
      initial_factor: the first step of all, ψ₀ in (0, inf), in multiples of the largest
        parameter over the largest update (of value over slope where all parameters are zero).
      probe_factor: the part ψ₁ of the last step, in (0, inf), whose value is looked at to
        interpolate the first trial step.
      growth_factor: what the last step is multiplied by instead, ψ₂ in (0, inf), where that
        value tells nothing.
      initial_guess_strategy: `"interpolate"` begins in this way, `"keep"` with the last step,
        `"one"` with one, as suits (quasi-)Newton steps.

    Returns:
      The transformation, for `update(updates, state, params, value=f(params), grad=its gradient,
      value_fn=f)`; extra arguments that `f` takes by name are handed on to it. State: five
      numbers and 1 × params in the parameters' dtype, the gradient where the step ended, for
      `value_and_grad_from_state`. Both errors in `info` are zero where the conditions hold.
      Where no step was found that decreases the objective enough, the step is zero and
      `info.decrease_error` above zero: of the last step tried, inf where the objective is not
      finite. Along updates that point uphill none is tried, and it is the slope.

    Raises:
      TypeError: `value`, `grad` or `value_fn` is missing.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Hager and Zhang, "A New Conjugate Gradient Method with Guaranteed Descent and an Efficient
      Line Search", SIAM J. Optim. 16(1), 2005, section 4: B0–B3, I0–I2, L0–L3, S1–S4, T1 and T2,
      U0–U3; "Algorithm 851: CG_DESCENT", ACM TOMS 32(1), 2006, and the authors' Fortran code.

    Differs:
      Every evaluation gives value and slope, the probe's included. The tolerance of the
      value is that of 2005, ε|φ(0)|; the code of 2006 averages it over steps and begins with the
      ordinary Wolfe conditions. In I0 the updates stand in the place of −g. Where the objective
      is not finite, it counts as above the tolerance with a falling slope (the papers do not
      say). When all evaluations are used up, the lowest point with enough decrease is taken.
      Parameters below 32 bits are searched along in float32. The step is constant to derivatives.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.chain(gl.sgd(1.0), gl.scale_by_hager_zhang_linesearch())
      >>> def objective(x):
      ...     return 5.0 * x**2
      >>> value, grad = jax.value_and_grad(objective)(1.0)
      >>> update, state = opt.update(
      ...     grad, opt.init(1.0), 1.0, value=value, grad=grad, value_fn=objective
      ... )
      >>> round(float(state[1].learning_rate), 4), int(state[1].info.num_linesearch_steps)
      (0.025, 3)
    """


ENTRY = core.Entry(
    scale_by_hager_zhang_linesearch,
    formula="(2 d - 1) <u, g> >= <u, grad f(p + lr u)> >= s <u, g>, f(p + lr u) <= f(p) + e |f|",
    paper=("hager2005new", "hager2006algorithm"),
    example={
        "max_linesearch_steps": 12,
        "max_learning_rate": 0.12,
        "slope_rtol": 0.016,
        "curv_rtol": 0.0065,
        "approx_dec_rtol": 0.0066,
        "bisection_weight": 0.52,
        "shrink_factor": 0.8,
        "increase_factor": 2.9,
        "initial_factor": 0.0014,
        "probe_factor": 0.18,
        "growth_factor": 1.9,
    },
    search_space={"slope_rtol": (1e-3, 0.3, "log"), "curv_rtol": (0.3, 0.9, "linear")},
    needs=("value", "grad", "value_fn", "descent"),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where another trial step is accepted, the step jumps.",
        biased="How the search would have ended elsewhere is left out: its step is constant.",
        narrow_state="The gradient at the end of a step has the parameters' dtype.",
    ),
    extra=with_bumps,
)
