"""Schedule-free gradient descent."""

from __future__ import annotations

from typing import Any

import jax
import optax

from gradlab import core
from gradlab.core import (
    DType,
    Mask,
    Params,
    Scalar,
    ScalarOrSchedule,
    Schedule,
    Transform,
    Updates,
    hyper,
    static,
)
from gradlab.optimizers.momentum._sgd import Sgd
from gradlab.wrappers._schedule_free import Averaging, WarmUp


class WarmedUp(Averaging):
    """A schedule-free optimizer with a learning rate of its own, warmed up."""

    learning_rate: ScalarOrSchedule = hyper("[0, inf)")
    warmup_steps: Scalar | None = hyper("(0, inf)")
    weight_decay: ScalarOrSchedule | None = hyper("[0, inf)")
    mask: Mask = static()

    def rate(self) -> ScalarOrSchedule:
        if self.warmup_steps is None:
            return self.learning_rate
        return WarmUp(peak=self.learning_rate, steps=self.warmup_steps)


class Decayed(core.Rule):
    """Gradients with a part of the parameters added."""

    weight_decay: ScalarOrSchedule = hyper()
    mask: Mask = static()

    def init(self, params: Params) -> Any:
        scheduled = isinstance(self.weight_decay, Schedule)
        state = optax.add_decayed_weights(lambda t: t) if scheduled else optax.identity()
        return state.init(params)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        params = self.needed(params)
        decay = self.weight_decay
        if isinstance(decay, Schedule):
            decay, state = decay(state.count), state._replace(count=state.count + 1)
        now = self.with_values(weight_decay=decay)
        (sums,) = now.each(lambda h, g, p: g + h.weight_decay * p, updates, reads=(params,))
        if self.mask is None:
            return sums, state
        chosen = core.decay_mask(self.mask, params)
        return jax.tree.map(lambda keep, s, g: s if keep else g, chosen, sums, updates), state


class ScheduleFreeSgd(WarmedUp):
    """Gradient descent whose iterates are averaged."""

    def base(self) -> Transform:
        descent = Sgd(
            learning_rate=self.rate(), momentum=None, nesterov=False, accumulator_dtype=None
        )
        if self.weight_decay is None:
            return Transform(descent)
        decayed = Decayed(weight_decay=self.weight_decay, mask=self.mask)
        return core.chain(Transform(decayed), Transform(descent))


@core.builds(ScheduleFreeSgd)
def schedule_free_sgd(
    learning_rate: ScalarOrSchedule = 1.0,
    warmup_steps: Scalar | None = None,
    b1: Scalar = 0.9,
    weight_decay: ScalarOrSchedule | None = None,
    weight_lr_power: Scalar = 2.0,
    state_dtype: DType | None = None,
    *,
    mask: Mask = None,
):
    r"""Schedule-free gradient descent: plain steps, averaged, with gradients in between.

    $$z_{t+1} = z_t - \eta_t\,(\nabla L(y_t) + \lambda\,y_t),\quad
    x_{t+1} = (1 - c_t)\,x_t + c_t\,z_{t+1},\quad
    y_{t+1} = (1-\beta_1)\,z_{t+1} + \beta_1\,x_{t+1}$$

    It is `schedule_free` around `sgd`, with one learning rate for both. The parameters that
    are trained are y; `gl.eval_params(opt, state, params)` gives x.

    Args:
      learning_rate: step size η after the warm-up [parameter units per gradient unit], in
        [0, inf), or a schedule.
      warmup_steps: length of a linear warm-up [steps], in (0, inf). None: no warm-up.
      b1: share β of the average in the mixture [dimensionless], in (0, 1].
      weight_decay: decay λ [gradient units per parameter unit], in [0, inf), added to the
        gradient at y; or a schedule.
      weight_lr_power: power of the learning rate in the weights [dimensionless], in [0, inf).
      state_dtype: dtype of z. None: the parameter's, float32 below 32 bits.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 1 × params and four scalars; a count with a warm-up.

    Raises:
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The Road Less Scheduled",
      arXiv:2405.15682, section 1; `optax.contrib.schedule_free_sgd` of optax 0.2.8.

    Differs:
      As optax does, the warm-up counts its steps from 0 where it moves z and from 1 where it
      weighs; the authors' `SGDScheduleFree` counts from 1 in both places.

    Example:
      >>> import gradlab as gl
      >>> opt = gl.schedule_free_sgd(0.1, warmup_steps=100)
      >>> opt.learning_rate, opt.b1
      (0.1, 0.9)
    """


ENTRY = core.Entry(
    schedule_free_sgd,
    formula="z -= lr * (g + weight_decay * y); x = (1 - c) * x + c * z; y = (1 - b1) * z + b1 * x",
    paper=("defazio2024road",),
    example={"learning_rate": 0.05, "warmup_steps": 7.5, "weight_decay": 0.1},
    search_space={"learning_rate": (1e-2, 10.0, "log"), "b1": (0.5, 0.98, "linear")},
    traits=core.Traits(
        temporaries="With a decay z follows the parameters and they follow z: the old ones are "
        "kept until both are written."
    ),
)
