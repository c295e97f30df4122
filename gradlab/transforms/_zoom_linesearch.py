"""Zoom: a step that decreases the objective enough and leaves little slope."""

from __future__ import annotations

from typing import Any

import optax

from gradlab import core
from gradlab.core import Scalar, hyper, static
from gradlab.transforms._ray import Ray, SearchOfOptax, with_real_objective


class ZoomLinesearch(SearchOfOptax):
    """Finds an interval that holds a good step, and then the step."""

    theirs = staticmethod(optax.scale_by_zoom_linesearch)

    max_linesearch_steps: int = static(convert=core.count_at_least(1))
    max_learning_rate: Scalar | None = hyper("(0, inf]")
    tol: Scalar = hyper("[0, inf)")
    increase_factor: Scalar = hyper("(1, inf)")
    slope_rtol: Scalar = hyper("[0, 1]")
    curv_rtol: Scalar = hyper("[0, inf]")
    approx_dec_rtol: Scalar | None = hyper("[0, inf)")
    stepsize_precision: Scalar = hyper("[0, inf)")
    initial_guess_strategy: str = static(convert=core.one_of("keep", "one"))
    verbose: bool = static(convert=core.flag)

    def search(self, ray: Ray, state: Any) -> Any:
        # optax takes the first slope without the conjugate that it has in all later ones.
        found = super().search(ray._replace(grad=optax.tree.conj(ray.grad)), state)
        grad = optax.tree.where(found.learning_rate > 0, found.grad, ray.grad)
        return found._replace(grad=grad)


@core.builds(ZoomLinesearch)
def scale_by_zoom_linesearch(
    max_linesearch_steps: int,
    max_learning_rate: Scalar | None = None,
    tol: Scalar = 0.0,
    increase_factor: Scalar = 2.0,
    slope_rtol: Scalar = 1e-4,
    curv_rtol: Scalar = 0.9,
    approx_dec_rtol: Scalar | None = 1e-6,
    stepsize_precision: Scalar = 1e-5,
    initial_guess_strategy: str = "keep",
    verbose: bool = False,
):
    r"""The zoom search takes a step that satisfies the strong Wolfe conditions.

    $$f(\theta + \eta u) \le f(\theta) + c_1 \eta\,\varphi'(0) + \epsilon,\quad
    |\varphi'(\eta)| \le c_2 |\varphi'(0)| + \epsilon,\quad
    \varphi'(\eta) = \langle u, \nabla f(\theta + \eta u)\rangle$$

    Steps grow until an interval must hold one that does, and are then interpolated within it
    (cubic, quadratic, halving). u are the updates that it is handed, which have to point
    downhill: it stands behind what makes a step of gradients. Close to a minimum, where
    rounding hides the decrease of f, its slope decides:
    $\varphi'(\eta) \le (2c_1 - 1)\varphi'(0)$ where $f$ is at most
    $f(\theta) + c_3|f(\theta)|$.

    Args:
      max_linesearch_steps: evaluations of value and gradient at most, at least 1.
      max_learning_rate: the longest step η, in (0, inf]; None is no bound.
      tol: how far both conditions may be missed, ε in [0, inf).
      increase_factor: what a step is multiplied by while none is long enough, in (1, inf).
      slope_rtol: the part c₁ of the decrease that the slope promises, in [0, 1].
      curv_rtol: how much of the slope may be left, c₂ in [0, inf]; inf asks for no more than a
        decrease.
      approx_dec_rtol: how much the value may rise where the slope decides, c₃ in [0, inf), in
        multiples of itself; None never lets it.
      stepsize_precision: length of the interval at which a step is taken that only decreases
        the objective, in [0, inf).
      initial_guess_strategy: `"keep"` begins with the last step, `"one"` with one, as suits
        (quasi-)Newton steps.
      verbose: whether to print what went wrong when no step was found.

    Returns:
      The transformation, for `update(updates, state, params, value=f(params), grad=its gradient,
      value_fn=f)`; extra arguments that `f` takes by name are handed on to it. State: five
      numbers and 1 × params in the parameters' dtype, the gradient where the step ended, for
      `value_and_grad_from_state`. `info.decrease_error` above `tol` says that no step was found
      that decreases the objective enough.

    Raises:
      TypeError: `value`, `grad` or `value_fn` is missing.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Nocedal and Wright, "Numerical Optimization", 2nd edition, 2006, Algorithms 3.5 and 3.6.
      Hager and Zhang, "Algorithm 851: CG_DESCENT", ACM TOMS 32(1), 2006, for the slope in the
      place of the decrease. optax 0.2.8, `scale_by_zoom_linesearch`, whose search this is.

    Differs:
      From optax: extra arguments that `value_fn` does not take pass through. Parameters below 32
      bits are searched along in float32. For complex parameters the slope at the start is taken
      as everywhere else; optax leaves out a conjugate there. The step is constant to
      derivatives, so that both modes work: optax's search has no reverse mode.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.chain(gl.sgd(1.0), gl.scale_by_zoom_linesearch(20))
      >>> def objective(x):
      ...     return 5.0 * x**2
      >>> value, grad = jax.value_and_grad(objective)(1.0)
      >>> update, state = opt.update(
      ...     grad, opt.init(1.0), 1.0, value=value, grad=grad, value_fn=objective
      ... )
      >>> round(float(state[1].learning_rate), 4), float(objective(1.0 + update))
      (0.1, 0.0)
    """


ENTRY = core.Entry(
    scale_by_zoom_linesearch,
    formula="f(p + lr u) <= f(p) + c1 lr <u, g>, |<u, grad f(p + lr u)>| <= c2 |<u, g>|",
    paper=("nocedal2006numerical", "hager2006algorithm"),
    example={
        "max_linesearch_steps": 3,
        "max_learning_rate": 0.12,
        "increase_factor": 10.0,
        "slope_rtol": 0.01,
        "curv_rtol": 0.05,
        "approx_dec_rtol": 0.01,
    },
    search_space={"curv_rtol": (0.1, 0.9, "linear"), "slope_rtol": (1e-5, 0.1, "log")},
    needs=("value", "grad", "value_fn", "descent"),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where another trial step is accepted, the step jumps.",
        biased="How the search would have ended elsewhere is left out: its step is constant.",
        narrow_state="The gradient at the end of a step has the parameters' dtype.",
    ),
    extra=with_real_objective,
)
