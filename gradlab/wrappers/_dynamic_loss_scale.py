"""Loss scaling for float16, adjusted by what overflows."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._skipping import step_or_stay


class DynamicLossScaleState(NamedTuple):
    """State of `dynamic_loss_scale`.

    Attributes:
      scale: what the loss of the next step is to be multiplied by.
      count: finite steps since the scale last changed.
      skipped: steps that were left out.
      inner_state: that of the inner optimizer.
    """

    scale: Any
    count: Any
    skipped: Any
    inner_state: Any


class DynamicLossScale(core.Wrapper):
    """Undoes the scaling, steps where all is finite, and adjusts the scale."""

    initial_scale: Scalar = hyper("(0, inf)")
    growth_factor: Scalar = hyper("[1, inf)")
    backoff_factor: Scalar = hyper("(0, 1]")
    growth_interval: int = static(convert=core.count_at_least(1))

    def init(self, params: Params) -> DynamicLossScaleState:
        scale = jnp.array(self.initial_scale, jnp.result_type(float))
        counts = core.step_count(), core.step_count()
        return DynamicLossScaleState(scale, *counts, self.inner.rule.init(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, DynamicLossScaleState]:
        finite = core.all_finite(updates)
        rule = self.with_values(initial_scale=state.scale)
        (unscaled,) = rule.each(lambda h, g: g * (1 / h.initial_scale), updates)
        steps, inner_state = step_or_stay(
            finite, self.inner, unscaled, state.inner_state, params, extra
        )
        count = state.count + 1
        grow = count == self.growth_interval
        grown = state.scale * self.growth_factor
        larger = jnp.where(grow & jnp.isfinite(grown), grown, state.scale)
        scale = jnp.where(finite, larger, state.scale * self.backoff_factor)
        count = jnp.where(finite & ~grow, count, 0)
        skipped = jnp.where(finite, state.skipped, optax.safe_increment(state.skipped))
        scale = jnp.asarray(scale, state.scale.dtype)
        return steps, DynamicLossScaleState(scale, count, skipped, inner_state)

    def measurements(self, state: Any) -> dict[str, Any]:
        own = {"loss_scale": state.scale, "skipped_steps": state.skipped}
        return super().measurements(state) | own


def scale_loss(state: Any, loss: Any) -> jax.Array:
    """The loss times the scale that a state holds, for its gradient to be taken.

    Args:
      state: that of `dynamic_loss_scale`, or of what holds it, however deep.
      loss: a scalar, best in float32.

    Returns:
      The product.

    Raises:
      ValueError: there is no scale in the state, or more than one.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.dynamic_loss_scale(gl.sgd(0.1))
      >>> state = opt.init(2.0)
      >>> float(jax.grad(lambda x: gl.scale_loss(state, x**2))(2.0))
      262144.0
    """
    leaves = jax.tree.leaves(state, is_leaf=_is_ours)
    scales = [leaf.scale for leaf in leaves if _is_ours(leaf)]
    if len(scales) != 1:
        raise ValueError(
            f"scale_loss: the state has {len(scales) or 'no'} loss scale{'s' * bool(scales)}, "
            "expected that of one dynamic_loss_scale"
        )
    return loss * scales[0]


def _is_ours(x: Any) -> bool:
    return isinstance(x, DynamicLossScaleState)


@core.builds(DynamicLossScale)
def dynamic_loss_scale(
    inner: optax.GradientTransformation,
    initial_scale: Scalar = 2.0**16,
    growth_factor: Scalar = 2.0,
    backoff_factor: Scalar = 0.5,
    growth_interval: int = 2000,
):
    r"""Takes the gradients of a scaled loss, and finds the scale at which they barely fit.

    $$g = \nabla(s L) / s,\qquad s \leftarrow \begin{cases}
    \beta s,\ \text{no step} & g \text{ not finite} \\
    \alpha s & n \text{ finite steps since the last change} \\ s & \text{else}\end{cases}$$

    Small gradients vanish in float16; those of a loss times s = 65,536 do not. The gradients
    are to be those of `gl.scale_loss(state, loss)`.

    The order is unscale, accumulate, clip, step: all that is inside of the wrapper sees
    unscaled gradients in float32. So clipping belongs inside:
    `dynamic_loss_scale(chain(clip_by_global_norm(1.0), adam(1e-3)))`. With
    `accumulate_gradients` inside, a micro batch that overflows is left out; with
    `accumulate_gradients` around it the scaled gradients are averaged, and one that overflows
    costs the whole step, as in torch.

    Args:
      inner: the optimizer.
      initial_scale: the first scale s, greater than 0.
      growth_factor: what the scale is multiplied by after enough finite steps (α), at least 1.
      backoff_factor: what it is multiplied by after an overflow (β), in (0, 1].
      growth_interval: finite steps n after which the scale grows, at least 1.

    Returns:
      The optimizer. State: that of `inner` and three scalars: the scale, the finite steps since
      it last changed (`count`), and the number of steps left out (`skipped`).

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: a value outside its range.

    References:
      Micikevicius, Narang, Alben, Diamos, Elsen, Garcia, Ginsburg, Houston, Kuchaiev,
      Venkatesh and Wu, "Mixed Precision Training", arXiv:1710.03740v3, section 3.2. Names and
      defaults are those of `torch.amp.GradScaler`.

    Differs:
      The scale does not grow to infinity. Powers of two keep every bit of the gradients.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> opt, p = gl.dynamic_loss_scale(gl.sgd(0.5)), jnp.float32(1.0)
      >>> state = opt.init(p)
      >>> g = jax.grad(lambda p: gl.scale_loss(state, p**2))(p)
      >>> updates, state = opt.update(g, state, p)
      >>> float(updates), float(opt.update(jnp.inf, state, p)[1].scale)
      (-1.0, 32768.0)
    """


ENTRY = core.Entry(
    dynamic_loss_scale,
    formula="p += inner(g / s); s *= growth every n finite steps, s *= backoff on overflow",
    paper=("micikevicius2017mixed",),
    example={"inner": sgd(0.05), "initial_scale": 2.0, "growth_interval": 5},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
)
