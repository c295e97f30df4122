"""AdamS: Adam with a weight decay as strong as its steps are large."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import DType, Params, Scalar, ScalarOrSchedule, Updates
from gradlab.optimizers.adaptive._adam import ScaleByAdam


class AdamS(core.Optimizer, ScaleByAdam):
    """Adam, with a weight decay over the root of the mean second moment."""

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        if self.weight_decay is None:
            return super().update(updates, state, params, **extra)
        direction, *scaling = state
        updates, direction = ScaleByAdam.update(self, updates, direction, params, **extra)
        decay = core.at(self.weight_decay, self.schedule_counts(state)["weight_decay"])
        stable = self.with_values(weight_decay=core.divide(decay, self.typical_size(direction)))
        updates, scaling = stable.scale(updates, tuple(scaling), params)
        return updates, (direction, *scaling)

    def typical_size(self, state: Any) -> jax.Array:
        """The root of the mean of all second moments, bias corrected."""
        moments = jax.tree.leaves(state.nu)
        dtype = jnp.promote_types(jnp.float32, jnp.result_type(float, *[v.real for v in moments]))
        sums = [jnp.sum(core.debias(v.real, self.b2, state.count)).astype(dtype) for v in moments]
        count = max(sum(v.size for v in moments), 1)
        return core.sqrt(sum(sums, jnp.zeros([], dtype)) / count)


@core.builds(AdamS)
def adams(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: ScalarOrSchedule | None = 1e-4,
    mask: core.Mask = None,
    *,
    nesterov: bool = False,
):
    r"""AdamS is AdamW with stable weight decay: divided by the mean size of the gradients.

    $$\theta \leftarrow \theta - \eta\,\Big(\frac{\hat m}{\sqrt{\hat v} + \varepsilon}
    + \frac{\lambda}{\sqrt{\bar v}}\,\theta\Big)$$

    with $\bar v$ the mean of $\hat v$ over all coordinates of all parameters. As gradients become
    smaller, the decay grows with the effective learning rate of Adam.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added under the root [squared gradient units], in [0, inf).
      mu_dtype: dtype in which the average of gradients is stored.
      weight_decay: decay λ [gradient units per parameter unit], in [0, inf), or a schedule,
        scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params. The mean is over
        all of them.
      nesterov: whether to look one step ahead, as Nadam does.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Xie, Xu, Zhang, Sato and Sugiyama, "On the Overlooked Pitfalls of Weight Decay and How to
      Mitigate Them: A Gradient-Norm Perspective", arXiv:2011.11152; the authors' `AdamS`.

    Differs:
      While all second moments are zero nothing decays, where the authors' code divides by
      zero. `eps_root` and `nesterov` are not in the paper; AMSGrad's maximum is left out.

    Example:
      >>> import gradlab as gl
      >>> gl.adams(1e-3, weight_decay=5e-4).weight_decay
      0.0005
    """


ENTRY = core.Entry(
    adams,
    formula="p -= lr * (m_hat / (sqrt(v_hat) + eps) + weight_decay / sqrt(mean(v_hat)) * p)",
    paper=("xie2020stable",),
    example={"learning_rate": 1e-3, "weight_decay": 1e-2},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "weight_decay": (1e-4, 1e-1, "log")},
    traits=core.Traits(elementwise=False),
)
