"""Sharpness-aware minimisation along the momentum, without a second gradient."""

from __future__ import annotations

import optax

from gradlab import core
from gradlab.core import ScalarOrSchedule, Updates, hyper
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._ahead import Ahead
from gradlab.wrappers._displaced import along


class Msam(Ahead):
    """Holds the parameters a fixed length ahead, in the direction of the last update."""

    rho: ScalarOrSchedule = hyper("[0, inf)")

    def displacement(self, updates: Updates) -> Updates:
        return along(self, updates)


@core.builds(Msam)
def msam(inner: optax.GradientTransformation, rho: ScalarOrSchedule = 0.05):
    r"""MSAM takes SAM's perturbation from the last update, so that a step costs one gradient.

    $$\theta_{t+1} = \theta_t + u_t,\quad u_t = \mathrm{inner}\Big(\nabla L\Big(\theta_t
    + \rho\,\frac{u_{t-1}}{\lVert u_{t-1}\rVert}\Big)\Big)$$

    Past the end of the last step the loss tends to rise. The parameters that are trained
    are the perturbed ones and the training loop stays as it is;
    `gl.eval_params(opt, state, params)` gives θ, for evaluation.

    Args:
      inner: the optimizer, one with momentum. It sees the gradient of the perturbed
        parameters, and θ.
      rho: length ρ of the perturbation [norm of the parameters], in [0, inf), or a
        schedule. 0 is `inner` alone.

    Returns:
      The optimizer. State: 1 × params, that of `inner` and a count.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: `rho` outside its range.

    References:
      Becker, Altrock and Risse, "Momentum-SAM: Sharpness Aware Minimization without
      Computational Overhead", arXiv:2401.12033v2, Algorithm 1.

    Differs:
      The direction is that of the last update, which is the paper's -v / |v| around `sgd`
      with momentum; around Adam the authors' code takes the first moment, undivided.

    Example:
      >>> import gradlab as gl
      >>> opt = gl.msam(gl.sgd(0.1, momentum=0.9), rho=0.3)
      >>> updates, state = opt.update(2.0, opt.init(0.0), 0.0)
      >>> print(f"{updates:.1f} {gl.eval_params(opt, state, updates):.1f}")
      -0.5 -0.2
    """


ENTRY = core.Entry(
    msam,
    formula="p += u; u = inner(grad at p + rho * u / |u|)",
    paper=("becker2024momentum",),
    example={"inner": sgd(0.01, momentum=0.9)},
    search_space={"rho": (1e-2, 3.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The perturbation turns round where the update passes zero; its derivative there "
        "is taken as zero.",
    ),
)
