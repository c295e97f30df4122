"""Gradients without the component that only scales the weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static


class OrthogonalToParams(core.Rule):
    """Removes from each array of gradients its component along the parameters."""

    rescale: bool = static(convert=core.flag)
    eps: Scalar = hyper("[0, inf)")

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        params = self.needed(params)

        def leaf(h: Any, g: jax.Array, p: jax.Array) -> jax.Array:
            along = core.divide(core.inner_product(p, g), jnp.sum(core.abs_sq(p)) + h.eps)
            rest = g - along.astype(g.real.dtype) * p
            return _rescaled(rest, g) if self.rescale else rest

        (updates,) = self.each(leaf, updates, reads=(params,))
        return updates, state


def _rescaled(rest: jax.Array, g: jax.Array) -> jax.Array:
    """The remainder with the gradient's norm; zero where it is nothing but rounding."""
    size, left = core.norm(g), core.norm(rest)
    rounding = 8 * jnp.finfo(g.dtype).eps * size
    return rest * core.divide(size, jnp.where(left <= rounding, 0, left))


@core.builds(OrthogonalToParams)
def orthogonal_to_params(rescale: bool = False, eps: Scalar = 1e-30):
    r"""⊥Grad removes the part of each gradient that points along its parameters.

    $$g \leftarrow g - \frac{\langle \theta, g \rangle}
    {\langle \theta, \theta \rangle + \varepsilon}\,\theta$$

    for each array θ of parameters. Along θ a network that is homogeneous in its weights only
    scales its outputs, which lowers a classifier's loss without changing its decisions.

    Args:
      rescale: whether what is left gets the norm that the gradient had, as in the released
        OrthoGrad.
      eps: added to the squared norm ε [squared parameter units], in [0, inf). Gradients of
        weights far below its root pass unchanged.

    Returns:
      The transformation. State: none.

    Raises:
      ValueError: `eps` outside its range; no params.

    References:
      Prieto, Barsbey, Mediano and Birdal, "Grokking at the Edge of Numerical Stability",
      arXiv:2501.04697v2, the projection of ⊥Grad.

    Differs:
      An array of one number never moves. Where all of a gradient points along the parameters,
      the released OrthoGrad scales up the rounding error that is left; here it stays zero.
      The paper has no `eps`, the released code has this one.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt, params = gl.orthogonal_to_params(), jnp.array([2.0, 0.0])
      >>> opt.update(jnp.array([3.0, 4.0]), opt.init(params), params)[0].tolist()
      [0.0, 4.0]
    """


ENTRY = core.Entry(
    orthogonal_to_params,
    formula="g -= p * <p, g> / (<p, p> + eps)",
    paper=("M046",),
    example={"rescale": True},
    traits=core.Traits(elementwise=False),
)
