"""Schedule-free learning: an average of the iterates in the place of a learning rate's decay."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.contrib import ScheduleFreeState

from gradlab import core
from gradlab.core import (
    DType,
    Params,
    Scalar,
    ScalarOrSchedule,
    Schedule,
    Transform,
    Updates,
    hyper,
    static,
)
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._averages import as_params, started_at


class Averaging(core.Rule):
    """Averages where an optimizer leads, and trains between that place and the average."""

    b1: Scalar = hyper("(0, 1]")
    weight_lr_power: Scalar = hyper("[0, inf)")
    state_dtype: DType | None = static(convert=core.dtype_or_none)

    def base(self) -> Transform:
        """The optimizer whose iterates z are averaged."""
        raise NotImplementedError(f"{type(self).__name__} has to define base")

    def rate(self) -> ScalarOrSchedule:
        """The learning rate by which iterates weigh."""
        raise NotImplementedError(f"{type(self).__name__} has to define rate")

    def init(self, params: Params) -> ScheduleFreeState:
        wide = [jnp.finfo(jnp.result_type(p)).bits > 32 for p in jax.tree.leaves(params)]
        dtype = jnp.float64 if wide and all(wide) else jnp.float32
        return ScheduleFreeState(
            b1=jnp.asarray(self.b1, dtype),
            weight_sum=jnp.zeros([], dtype),
            step_count=jnp.ones([], jnp.int32),
            max_lr=jnp.zeros([], dtype),
            base_optimizer_state=self.base().rule.init(params),
            z=started_at(params, self.state_dtype),
        )

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScheduleFreeState]:
        params = self.needed(params)
        steps, base_state = self.base().rule.update(
            updates, state.base_optimizer_state, params, **extra
        )
        rate = jnp.asarray(core.at(self.rate(), state.step_count), state.max_lr.dtype)
        max_lr = jnp.maximum(state.max_lr, rate)
        weight = core.power(max_lr, self.weight_lr_power)
        weight_sum = state.weight_sum + weight
        share = core.divide(weight, weight_sum)

        narrow = self.state_dtype is not None

        def leaf(h: Any, u: jax.Array, z: jax.Array, y: jax.Array) -> tuple:
            ahead = self._kept(z + u)
            u, c = ahead - z if narrow else u, share.astype(u.real.dtype)
            # With x = (y - (1 - b1) z) / b1 put into the new x and that into the new y, and y
            # subtracted: without cancellation, and nothing moves where nothing should.
            return (1 - h.b1) * u + c * (h.b1 * u + (z - y)), ahead

        steps, z = self.each(leaf, steps, state.z, reads=(params,))
        count = optax.safe_increment(state.step_count)
        return steps, ScheduleFreeState(state.b1, weight_sum, count, max_lr, base_state, z)

    def _kept(self, z: jax.Array) -> jax.Array:
        """The iterate as the state holds it, where that is narrower than computations are."""
        return z if self.state_dtype is None else z.astype(self.state_dtype).astype(z.dtype)

    def eval_params(self, state: Any, params: Params) -> Params:
        (x,) = self.each(lambda h, y, z: averaged(h.b1, z, y), params, reads=(state.z,))
        return as_params(x, params)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        base_state = self.base().rule.in_order(state.base_optimizer_state, updates, params)
        state = state._replace(base_optimizer_state=base_state)
        return core.written_after_params(state, ("z",), updates, params)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"learning_rate": state.step_count, "weight_decay": state.step_count - 1}


class WarmUp(Schedule):
    """A line up to a rate."""

    start: Scalar = hyper(default=0.0)
    peak: ScalarOrSchedule = hyper()
    steps: Scalar = hyper()

    def __call__(self, count: Any) -> jax.Array:
        steps = jnp.asarray(self.steps, jnp.result_type(float))
        peak = core.at(self.peak, count)
        return (self.start - peak) * (1 - jnp.clip(count, 0, steps) / steps) + peak


class ScheduleFree(Averaging, core.Around):
    """The average around any optimizer."""

    inner_field = "base_optimizer"
    inner_state_field = "base_optimizer_state"
    keeps_updates = False

    base_optimizer: Transform = hyper()
    learning_rate: ScalarOrSchedule = hyper("[0, inf)")

    def base(self) -> Transform:
        return self.base_optimizer

    def rate(self) -> ScalarOrSchedule:
        return self.learning_rate


def averaged(b1: Any, z: jax.Array, y: jax.Array) -> jax.Array:
    """The average x, of which y = (1 - b1) z + b1 x is a mixture with z."""
    return (y - (1 - b1) * z) / b1


def schedule_free_eval_params(state: Any, params: Params) -> Params:
    """The average x from a state of a schedule-free optimizer alone, as optax has it.

    `gl.eval_params(opt, state, params)` gives the same, for optimizers of every kind and
    however deep they lie.

    Args:
      state: the state of `schedule_free`, `schedule_free_sgd` or `schedule_free_adamw`.
      params: the parameters that are trained.

    Returns:
      A tree like `params`.

    Raises:
      TypeError: the state is another one.

    Example:
      >>> import gradlab as gl
      >>> opt = gl.schedule_free_sgd(1.0, b1=0.5)
      >>> updates, state = opt.update(2.0, opt.init(4.0), 4.0)
      >>> float(gl.schedule_free_eval_params(state, 4.0 + updates))
      2.0
    """
    if not isinstance(state, ScheduleFreeState):
        raise TypeError(
            f"schedule_free_eval_params: expected a ScheduleFreeState, got {type(state).__name__}; "
            "gl.eval_params(opt, state, params) finds it"
        )
    x = jax.tree.map(lambda y, z: averaged(state.b1, z, y), params, state.z)
    return as_params(x, params)


@core.builds(ScheduleFree)
def schedule_free(
    base_optimizer: optax.GradientTransformation,
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    weight_lr_power: Scalar = 2.0,
    state_dtype: DType | None = None,
):
    r"""Schedule-free learning averages iterates, and needs no decay of the learning rate.

    $$z_{t+1} = z_t + \mathrm{base}(\nabla L(y_t)),\quad
    x_{t+1} = (1 - c_t)\,x_t + c_t\,z_{t+1},\quad
    y_{t+1} = (1-\beta_1)\,z_{t+1} + \beta_1\,x_{t+1}$$

    with $c_t = w_t / \sum_{i \le t} w_i$ and $w_t = (\max_{i \le t} \eta_i)^p$. The parameters
    that are trained are y; `gl.eval_params(opt, state, params)` gives the average x, for
    evaluation. The mixture takes the place of momentum: the optimizer inside should have none.

    Args:
      base_optimizer: the optimizer that moves z. It sees the gradient at y, and y.
      learning_rate: the optimizer's learning rate η, by which iterates weigh, in [0, inf): a
        number, or a schedule with a warm-up and no decay. The count of a schedule begins at 1.
      b1: share β of the average in the mixture [dimensionless], in (0, 1]. It is part of what
        the state means: keep it during a run. With 1 gradients are taken at the average.
      weight_lr_power: power p of the learning rate in the weights [dimensionless], in
        [0, inf). With 0 all iterates weigh the same.
      state_dtype: dtype of z. None: the parameter's, and float32 for parameters of fewer
        than 32 bits.

    Returns:
      The optimizer. State: 1 × params, that of `base_optimizer` and four scalars.

    Raises:
      TypeError: `base_optimizer` is no transformation.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The Road Less Scheduled",
      arXiv:2405.15682, section 1 and Algorithm 1; `optax.contrib.schedule_free` of optax 0.2.8
      and the authors' `ScheduleFreeWrapperReference`.

    Differs:
      x is computed from y and z instead of stored, as in optax. A learning rate of zero has
      weight zero. The scalars of the state are float32 beside narrow parameters.

    Example:
      >>> import gradlab as gl
      >>> opt = gl.schedule_free(gl.sgd(1.0), 1.0, b1=0.5)
      >>> updates, state = opt.update(2.0, opt.init(4.0), 4.0)
      >>> updates, state = opt.update(2.0, state, 4.0 + updates)
      >>> float(state.z), float(gl.eval_params(opt, state, 2.0 + updates))
      (0.0, 1.0)
    """


ENTRY = core.Entry(
    schedule_free,
    formula="z += base(grad at y); x = (1 - c) * x + c * z; y = (1 - b1) * z + b1 * x",
    paper=("defazio2024road",),
    # Only ratios of rates count: with one rate alone, its value would have no effect.
    example={
        "base_optimizer": sgd(0.05),
        "learning_rate": WarmUp(start=0.01, peak=0.05, steps=7.5),
    },
    search_space={"b1": (0.5, 0.98, "linear"), "weight_lr_power": (0.0, 4.0, "linear")},
)
