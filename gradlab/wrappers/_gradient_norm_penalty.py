"""A penalty on the size of the gradient, by finite differences."""

from __future__ import annotations

from typing import Any

import jax
import optax

from gradlab import core
from gradlab.core import Scalar, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Displaced, Evaluate, Found, Start, moved


class GradientNormPenalty(Displaced):
    """Adds to the gradient what it changes by along itself."""

    gamma: ScalarOrSchedule = hyper("[0, inf)")
    eps: Scalar = hyper("(0, inf)")
    difference: str = static(convert=core.one_of("forward", "backward", "central"))

    def descent(self, start: Start, evaluate: Evaluate) -> Found:
        aux, ahead, behind = start.aux, start.here, start.here
        if self.difference != "forward":
            behind, aux = evaluate(self.place(start, -1), aux)
        if self.difference != "backward":
            ahead, aux = evaluate(self.place(start, 1), aux)
        width = 2 if self.difference == "central" else 1

        def leaf(h: Any, g: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
            return g + h.gamma / (width * h.eps) * (a - b)

        (gradients,) = self.each(leaf, start.here, reads=(ahead, behind))
        return Found(gradients, start.memory, aux)

    def place(self, start: Start, sign: int) -> Updates:
        """A step uphill, or downhill."""
        (moves,) = self.each(lambda h, g: sign * h.eps * g, start.own)
        return moved(start.params, moves)


@core.builds(GradientNormPenalty)
def gradient_norm_penalty(
    inner: optax.GradientTransformation,
    gamma: ScalarOrSchedule = 0.05,
    eps: Scalar = 0.05,
    *,
    difference: str = "forward",
    axis_name: Any = None,
    local_ascent: bool = False,
    has_aux: bool = False,
    aux_like: Any = None,
    aux_from: str = "last",
):
    r"""Penalises the size of the gradient, with one gradient more a step instead of a Hessian.

    $$\theta \leftarrow \theta - \mathrm{inner}\Big(g + \gamma\,
    \frac{\nabla L(\theta + \varepsilon g) - g}{\varepsilon}\Big),\quad g = \nabla L(\theta)$$

    The fraction is the gradient of ½‖∇L‖², up to terms of order ε. With `gamma == eps` the
    step is USAM's.

    Args:
      inner: the optimizer that descends. It sees the gradient with the penalty's.
      gamma: weight γ of the penalty [parameter units per gradient], in [0, inf), or a
        schedule of the steps.
      eps: size ε of the difference [parameter units per gradient], in (0, inf). It is more
        than a matter of accuracy: larger ones add to the bias towards flat minima.
      difference: `"forward"` goes uphill, `"backward"` downhill with
        (g - ∇L(θ - ε g)) / ε, `"central"` both, for one gradient more.
      axis_name: as in `sam`.
      local_ascent: as in `sam`.
      has_aux: as in `sam`.
      aux_like: as in `sam`.
      aux_from: as in `sam`.

    Returns:
      The optimizer. State: that of `inner` and a count. A step costs two gradients, three
      with `difference="central"`.

    Raises:
      TypeError: `inner` is no transformation, or `grad_fn` is missing.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Karakida, Takase, Hayase and Osawa, "Understanding Gradient Regularization in Deep
      Learning: Efficient Finite-Difference Computation and Implicit Bias",
      arXiv:2210.02720v2, F-GR and B-GR of section 3.

    Differs:
      The central difference is not in the paper.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.gradient_norm_penalty(gl.sgd(0.1), gamma=0.5)
      >>> grad_fn = jax.grad(lambda x: x**2)
      >>> update, _ = opt.update(grad_fn(1.0), opt.init(1.0), 1.0, grad_fn=grad_fn)
      >>> print(f"{update:.3f}")
      -0.400
    """


ENTRY = core.Entry(
    gradient_norm_penalty,
    formula="p -= inner(g + gamma * (grad_fn(p + eps * g) - g) / eps)",
    paper=("M048",),
    example={"inner": sgd(0.01), "gamma": 2e-3, "eps": 1e-3},
    search_space={"gamma": (1e-3, 1.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    needs=("grad_fn",),
    traits=core.Traits(elementwise=False, gradient_evaluations=2),
)
