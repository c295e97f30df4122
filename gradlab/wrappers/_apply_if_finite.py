"""Steps with gradients that are not finite left out."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax
from optax import ApplyIfFiniteState

from gradlab import core
from gradlab.core import Params, Updates, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._skipping import step_or_stay


class ApplyIfFinite(core.Wrapper):
    """Leaves parameters and state as they are where a gradient is not finite."""

    max_consecutive_errors: int = static(convert=core.count_at_least(0))

    def init(self, params: Params) -> ApplyIfFiniteState:
        counts = core.step_count(), jnp.array(True), core.step_count()
        return ApplyIfFiniteState(*counts, self.inner.rule.init(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ApplyIfFiniteState]:
        finite = core.all_finite(updates)
        row = jnp.where(finite, 0, optax.safe_increment(state.notfinite_count))
        total = state.total_notfinite
        accepted = finite | (row > self.max_consecutive_errors)
        steps, inner_state = step_or_stay(
            accepted, self.inner, updates, state.inner_state, params, extra
        )
        total = jnp.where(finite, total, optax.safe_increment(total))
        return steps, ApplyIfFiniteState(row, finite, total, inner_state)

    def measurements(self, state: Any) -> dict[str, Any]:
        counts = {"skipped_steps": state.total_notfinite}
        return super().measurements(state) | counts


@core.builds(ApplyIfFinite)
def apply_if_finite(inner: optax.GradientTransformation, max_consecutive_errors: int):
    r"""Leaves out steps whose gradients are not finite, and counts them.

    $$\theta \leftarrow \theta + \begin{cases}\mathrm{inner}(g) & \text{all of } g
    \text{ finite}\\ 0 & \text{else}\end{cases}$$

    A step that is left out leaves the inner state as it is. `state.total_notfinite` counts
    such gradients, `state.notfinite_count` those in a row.

    Args:
      inner: the optimizer.
      max_consecutive_errors: how many in a row are left out, at least 0; the next one is
        passed on.

    Returns:
      The optimizer. State: that of `inner` and three scalars.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: a negative count.

    References:
      Babuschkin et al., "The DeepMind JAX Ecosystem", 2020: `optax.apply_if_finite` of
      optax 0.2.8.

    Differs:
      The inner optimizer always runs, on zeros where the gradient is left out, and its
      result is not used.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.apply_if_finite(gl.sgd(0.1), 3)
      >>> update, state = opt.update(jnp.nan, opt.init(1.0), 1.0)
      >>> float(update), int(state.total_notfinite)
      (0.0, 1)
    """


ENTRY = core.Entry(
    apply_if_finite,
    formula="p += inner(g) if all(isfinite(g)) else 0",
    paper=("deepmind2020jax",),
    example={"inner": sgd(0.01), "max_consecutive_errors": 3},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
)
