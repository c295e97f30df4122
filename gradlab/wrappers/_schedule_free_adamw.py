"""Schedule-free AdamW."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import DType, Mask, Scalar, ScalarOrSchedule, Transform, hyper
from gradlab.optimizers.adaptive._rms import ScaleByRms
from gradlab.wrappers._schedule_free_sgd import WarmedUp


class AdamWithoutMomentum(core.Optimizer, ScaleByRms):
    """AdamW whose average of gradients has no memory."""

    def direction(self, h: Any, g: Any, count: Any, v: Any, *mean: Any) -> jax.Array:
        # That the divisor is zero is seen by v, which is stored anyway: with two readers of the
        # step, the compiler would store the root for this alone.
        zero = (v == 0) & (h.eps == 0)
        root = core.sqrt(core.debias(v, h.decay, count)) + h.eps
        return jnp.where(zero, 0, 1 / jnp.where(zero, 1, root)) * g


class ScheduleFreeAdamW(WarmedUp):
    """AdamW without momentum, whose iterates are averaged."""

    b2: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")

    def base(self) -> Transform:
        rule = AdamWithoutMomentum(
            learning_rate=self.rate(),
            decay=self.b2,
            eps=self.eps,
            initial_scale=0.0,
            eps_in_sqrt=False,
            bias_correction=True,
            weight_decay=self.weight_decay,
            mask=self.mask,
        )
        return Transform(rule)


@core.builds(ScheduleFreeAdamW)
def schedule_free_adamw(
    learning_rate: ScalarOrSchedule = 0.0025,
    warmup_steps: Scalar | None = None,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule | None = 0.0,
    weight_lr_power: Scalar = 2.0,
    state_dtype: DType | None = None,
    *,
    mask: Mask = None,
):
    r"""Schedule-free AdamW: Adam's steps without momentum, averaged.

    $$z_{t+1} = z_t - \eta_t\,\Big(\frac{g_t}{\sqrt{\hat v_t} + \varepsilon}
    + \lambda\,y_t\Big),\quad
    x_{t+1} = (1 - c_t)\,x_t + c_t\,z_{t+1},\quad
    y_{t+1} = (1-\beta_1)\,z_{t+1} + \beta_1\,x_{t+1}$$

    with the gradient g at y and v̂ Adam's second moment, bias corrected. It is `schedule_free`
    around such an optimizer, with one learning rate for both. The parameters that are trained
    are y; `gl.eval_params(opt, state, params)` gives x.

    Args:
      learning_rate: step size η after the warm-up [parameter units per step], in [0, inf), or
        a schedule.
      warmup_steps: length of a linear warm-up [steps], in (0, inf). None: no warm-up.
      b1: share β of the average in the mixture [dimensionless], in (0, 1].
      b2: decay of the average of squared gradients, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      weight_decay: decoupled decay λ, in [0, inf), or a schedule, scaled by the learning rate. It
        decays y.
      weight_lr_power: power of the learning rate in the weights [dimensionless], in [0, inf).
      state_dtype: dtype of z. None: the parameter's, float32 below 32 bits.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 2 × params, four scalars and a count; one more with a warm-up.

    Raises:
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The Road Less Scheduled",
      arXiv:2405.15682, Algorithm 1; `optax.contrib.schedule_free_adamw` of optax 0.2.8.

    Differs:
      As in optax, the warm-up counts its steps from 0 where it moves z and from 1 where it
      weighs; the authors count from 1 in both places. The root of the bias correction is no
      part of the learning rate by which iterates weigh, as in optax and in the authors'
      `AdamWScheduleFree` of schedulefree 1.4.1; in their `AdamWScheduleFreePaper` it is.

    Example:
      >>> import gradlab as gl
      >>> gl.schedule_free_adamw(1e-3, b1=0.95).b1
      0.95
    """


ENTRY = core.Entry(
    schedule_free_adamw,
    formula="z -= lr * (g / (sqrt(v_hat) + eps) + weight_decay * y); x = (1 - c) * x + c * z; "
    "y = (1 - b1) * z + b1 * x",
    paper=("defazio2024road",),
    example={"learning_rate": 0.01, "warmup_steps": 7.5},
    search_space={"learning_rate": (1e-4, 1e-1, "log"), "b1": (0.5, 0.98, "linear")},
    traits=core.Traits(
        temporaries="Adam's step goes into z and into the parameters, and is stored for both."
    ),
)
