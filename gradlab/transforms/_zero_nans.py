"""Zero in the place of what is not a number."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Updates


class ZeroNans(core.Rule):
    """Replaces what is not a number by zero, and says in which arrays it was found."""

    def init(self, params: Params) -> optax.ZeroNansState:
        return optax.ZeroNansState(jax.tree.map(lambda p: jnp.array(False), params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ZeroNansState]:
        def leaf(h: Any, g: jax.Array, found: jax.Array) -> tuple:
            unknown = jnp.isnan(g)
            return jnp.where(unknown, jnp.zeros_like(g), g), jnp.any(unknown)

        updates, found = self.each(leaf, updates, state.found_nan)
        return updates, optax.ZeroNansState(found)


@core.builds(ZeroNans)
def zero_nans():
    r"""Replaces gradients that are not a number by zero, and says where there were some.

    $$g_i \leftarrow g_i\,[\,g_i \text{ is a number}\,]$$

    Infinite gradients pass unchanged. What is left of the gradient is not that of any loss:
    `gl.apply_if_finite` leaves out the whole step instead.

    Returns:
      The transformation. State: for each array a bool, whether the last gradient had an entry
      that is not a number.

    Raises:
      ValueError: gradients that are not like the parameters.

    Args:
      None.

    References:
      Babuschkin et al., "The DeepMind JAX Ecosystem", 2020: `optax.zero_nans` of optax 0.2.8.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.zero_nans()
      >>> g, state = opt.update(jnp.array([1.0, jnp.nan]), opt.init(jnp.zeros(2)))
      >>> g.tolist(), bool(state.found_nan)
      ([1.0, 0.0], True)
    """


ENTRY = core.Entry(
    zero_nans,
    formula="g = 0 where g is not a number",
    paper=("deepmind2020jax",),
    example={},
    traits=core.Traits(
        temporaries="Which entries are no numbers is stored, a byte for each, to be looked through."
    ),
)
