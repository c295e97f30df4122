"""Weight decay where it does not work against the update."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Mask, Params, ScalarOrSchedule, Updates, hyper, static


class CautiousWeightDecayState(NamedTuple):
    """The number of steps so far."""

    count: Any


class CautiousWeightDecay(core.Rule):
    """Adds a part of the parameters where the direction has their sign."""

    weight_decay: ScalarOrSchedule = hyper("[0, inf)")
    mask: Mask = static()

    def init(self, params: Params) -> CautiousWeightDecayState:
        if self.mask is not None:
            core.decay_mask(self.mask, params)
        return CautiousWeightDecayState(core.step_count())

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, CautiousWeightDecayState]:
        params = self.needed(params)

        def leaf(h: Any, u: jax.Array, p: jax.Array) -> jax.Array:
            share = (jnp.real(u * jnp.conj(p)) >= 0).astype(p.real.dtype)
            # A weight at zero would decay on one side only: half of the derivative.
            share = jnp.where((p == 0) & (u != 0), 0.5, share)
            return u + h.weight_decay * share * p

        now = self.with_values(weight_decay=core.at(self.weight_decay, state.count))
        (decayed,) = now.each(leaf, updates, reads=(params,))
        if self.mask is not None:
            chosen = core.decay_mask(self.mask, params)
            decayed = jax.tree.map(lambda keep, d, u: d if keep else u, chosen, decayed, updates)
        return decayed, CautiousWeightDecayState(optax.safe_increment(state.count))

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"weight_decay": state.count}


@core.builds(CautiousWeightDecay)
def cautious_weight_decay(weight_decay: ScalarOrSchedule, mask: Mask = None):
    r"""Cautious weight decay leaves out coordinates in which it would work against the step.

    $$u \leftarrow u + \lambda\,[u\,\theta \ge 0]\,\theta$$

    It stands where `add_decayed_weights` stands: after a direction u, which points uphill,
    and before the learning rate. Where u moves a weight away from zero it does not decay, and
    so the decay does not change where the loss is stationary.

    Args:
      weight_decay: decay λ, in [0, inf), or a schedule. The learning rate scales it.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The transformation. State: a count.

    Raises:
      ValueError: a decay outside its range, no parameters, or a mask that selects none.

    References:
      Chen, Li, Liang, Su, Xie, Wang Pierse, Liang, Lao and Liu, "Cautious Weight Decay",
      arXiv:2510.12402v2, Algorithm 1.

    Differs:
      Of complex coordinates the real part of the product counts.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.chain(gl.scale_by_adam(), gl.cautious_weight_decay(0.1), gl.sgd(1e-3))
      >>> decay = opt.links[1]
      >>> p = jnp.array([5.0, -5.0])
      >>> decay.update(jnp.ones(2), decay.init(p), p)[0].tolist()
      [1.5, 1.0]
    """


ENTRY = core.Entry(
    cautious_weight_decay,
    formula="u += weight_decay * (u * p >= 0) * p",
    paper=("chen2025cautious",),
    example={"weight_decay": 0.1},
    search_space={"weight_decay": (1e-3, 1.0, "log")},
    traits=core.Traits(
        smooth=False,
        kinks="The decay jumps where the direction changes sign; the derivative of the jump is "
        "taken as zero. At a weight of zero it is that of half of the decay.",
    ),
)
