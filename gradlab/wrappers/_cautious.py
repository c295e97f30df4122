"""Cautious updates: only where they agree with the gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static
from gradlab.optimizers.momentum import sgd


class CautiousState(NamedTuple):
    """State of `cautious`.

    Attributes:
      inner_state: that of the inner optimizer.
    """

    inner_state: Any


class Cautious(core.Wrapper):
    """Leaves out the coordinates in which the inner update goes uphill."""

    keeps_updates = False

    floor: Scalar = hyper("(0, 1]")
    direction: bool = static(convert=core.flag)

    def init(self, params: Params) -> CautiousState:
        return CautiousState(self.inner.rule.init(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, CautiousState]:
        gradients = updates
        updates, inner_state = self.inner.rule.update(gradients, state.inner_state, params, **extra)
        uphill = 1 if self.direction else -1

        def leaf(h: Any, u: jax.Array, g: jax.Array) -> jax.Array:
            agree = (uphill * jnp.real(u * jnp.conj(g)) > 0).astype(g.real.dtype)
            share = jnp.sum(agree) / max(g.size, 1)
            return u * (agree / jnp.maximum(share, h.floor))

        (updates,) = self.each(leaf, updates, reads=(gradients,))
        return updates, CautiousState(inner_state)


@core.builds(Cautious)
def cautious(inner: optax.GradientTransformation, floor: Scalar = 1e-3, *, direction: bool = False):
    r"""A cautious optimizer moves only those coordinates in which it goes down the gradient.

    $$u = \mathrm{inner}(g),\quad \phi = [-u\,g > 0],\quad
    \theta \leftarrow \theta + \frac{u\,\phi}{\max(\bar\phi, c)}$$

    where φ̄ is the mean of the mask over the array: what is left is made larger in turn.
    Momentum may point uphill, and is then held back for as long.

    Args:
      inner: the optimizer.
      floor: least share c of coordinates by which an update is divided [dimensionless], in
        (0, 1].
      direction: whether `inner` gives a direction, which points uphill, like the `scale_by_…`
        functions. `gl.chain(gl.cautious(gl.scale_by_adam(), direction=True), …)` leaves weight
        decay and learning rate to what follows: this is C-AdamW, whose decay is not masked.

    Returns:
      The optimizer. State: that of `inner`.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: `floor` outside its range.

    References:
      Liang, Chen, Liu and Liu, "Cautious Optimizers: Improving Training with One Line of
      Code", arXiv:2411.16085v4, Algorithm 1; the authors' C-Optim at commit 2c0517c.

    Differs:
      The floor is that of the authors' code; in Algorithm 1 the share is divided by after a
      small number was added to it. Of complex coordinates the real part of the product counts.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt, p = gl.cautious(gl.sgd(1.0, momentum=1.0)), jnp.zeros(2)
      >>> _, state = opt.update(jnp.array([2.0, 2.0]), opt.init(p), p)
      >>> opt.update(jnp.array([-1.0, 1.0]), state, p)[0].tolist()
      [-0.0, -6.0]
    """


ENTRY = core.Entry(
    cautious,
    formula="u = inner(g); mask = (u * -g > 0); p += u * mask / max(mean(mask), floor)",
    paper=("liang2024cautious",),
    example={"inner": sgd(0.001, momentum=0.9)},
    search_space={"learning_rate": (1e-3, 1.0, "log"), "floor": (1e-3, 1.0, "log")},
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The mask jumps where the update changes sides; its derivative is zero elsewhere, "
        "and taken as zero there.",
    ),
)
