"""Gradient descent on a smooth loss, with the proximal operator of a penalty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, hyper, static
from gradlab.optimizers.proximal._forward_backward import STORED, ForwardBackward
from gradlab.optimizers.proximal._functions import function
from gradlab.prox import prox_lasso


class ProximalGradient(ForwardBackward):
    """Backward by a proximal operator."""

    prox: Callable[..., Any] = static(convert=function)
    strength: Scalar | tuple[Scalar, ...] | None = hyper("[0, inf)")

    def backward(self, tree: Params, rate: Any) -> Params:
        return self.prox(tree, self.strength, rate)


@core.builds(ProximalGradient)
def proximal_gradient(
    learning_rate: ScalarOrSchedule,
    prox: Callable[..., Any] = prox_lasso,
    strength: Scalar | tuple[Scalar, ...] | None = None,
    acceleration: bool = False,
    restart: bool = False,
):
    r"""Proximal gradient descent (ISTA) steps along the gradient, then shrinks.

    $$\theta \leftarrow \operatorname{prox}_{\eta \lambda h}(\theta - \eta\,g)$$

    It minimises f + λh, where g is the gradient of f alone; numbers that h sets to zero are
    exactly zero. With acceleration (FISTA) the parameters y lie beyond that step x:

    $$x' = \operatorname{prox}_{\eta \lambda h}(y - \eta\,g),\quad
    t' = \tfrac12\left(1 + \sqrt{1 + 4 t^2}\right),\quad
    y' = x' + \tfrac{t - 1}{t'}\,(x' - x)$$

    Args:
      learning_rate: step size η [parameter units per gradient unit], in [0, inf), or a
        schedule. A convex f descends for η up to one over its curvature.
      prox: the operator of h, as those of `gl.prox`: `prox(tree, strength, scaling)`.
      strength: λ [units of f per unit of h], in [0, inf), or the tuple that the operator takes;
        None leaves it to the operator, whose default is one.
      acceleration: whether y goes beyond x.
      restart: whether the momentum starts anew where it points uphill, that is where
        ⟨y − x', x' − x⟩ > 0.

    Returns:
      The optimizer. State: a count; with acceleration 1 × params more, and a number.
      `gl.eval_params` gives x.

    Raises:
      TypeError: `prox` is no function, or a strength no number.
      ValueError: a hyperparameter outside its range, no parameters, or a restart without
        acceleration.

    References:
      Beck and Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse
      Problems", SIAM Journal on Imaging Sciences 2(1), 2009, equation 1.4 and section 4, with
      constant step size. O'Donoghue and Candès, "Adaptive Restart for Accelerated Gradient
      Schemes", arXiv:1204.3982, section 3.2, gradient scheme, for the restart. Rentzeperis,
      Calatroni, Perrinet and Prandi, "Beyond ℓ1 sparse coding in V1", arXiv:2301.10002, with
      other thresholds: `gl.prox.prox_half`, `prox_hard`, `prox_cel0`.

    Differs:
      There is no backtracking: the step size is the learning rate. An accelerated step on CPU
      keeps two arrays of the size of a parameter while it runs, since y' and x' both need y and x.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.proximal_gradient(0.5, gl.prox.prox_lasso, strength=1.0)
      >>> p = jnp.array([2.0, 0.25])
      >>> opt.update(jnp.ones(2), opt.init(p), p)[0].tolist()
      [-1.0, -0.25]
    """


ENTRY = core.Entry(
    proximal_gradient,
    formula="p = prox(p - lr * g, strength, lr)",
    paper=("M079", "beck2009fast", "odonoghue2015adaptive"),
    example={"learning_rate": 0.01, "strength": 0.1, "acceleration": True},
    search_space={"learning_rate": (1e-3, 1.0, "log"), "strength": (1e-5, 1.0, "log")},
    traits=core.Traits(
        smooth=False,
        kinks="Where the operator's threshold is; the derivative is that of the operator.",
        temporaries=STORED,
    ),
)
