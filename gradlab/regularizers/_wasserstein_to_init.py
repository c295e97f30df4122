"""Wasserstein distance to the initial distribution of weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, hyper, static
from gradlab.regularizers import _leaves


class WassersteinState(NamedTuple):
    """The initial weights of each layer, sorted."""

    initial: Any


class WassersteinToInit(core.Regularizer):
    """The squared distance of sorted weights from the sorted initial ones."""

    needs = ("state",)
    weight: Scalar = hyper("[0, inf)")
    mask: core.Mask = static()
    stack_axes: int = static(convert=core.count_at_least(0))

    def init(self, params: Params) -> WassersteinState:
        return WassersteinState(tuple(self._sorted(params)))

    def __call__(self, params: Params, state: WassersteinState) -> jax.Array:
        now, before = self._sorted(params), state.initial
        shapes = [[x.shape for x in arrays] for arrays in (now, before)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{self.owner()}: the parameters that count have the shapes {shapes[0]} where "
                f"those that made the state had {shapes[1]}"
            )
        pairs = zip(now, before, strict=True)
        return _leaves.total(self.weight, [jnp.sum(jnp.square(x - x0)) for x, x0 in pairs])

    def _sorted(self, params: Params) -> list[jax.Array]:
        arrays = _leaves.chosen(self.owner(), self.mask, params, self.stack_axes)
        if any(jnp.iscomplexobj(x) for x in arrays):
            raise TypeError(f"{self.owner()}: complex parameters have no order")
        lead = self.stack_axes
        return [jnp.sort(x.reshape(*x.shape[:lead], -1)) for x in arrays]


@core.builds(WassersteinToInit)
def wasserstein_to_init(weight: Scalar = 1e-3, *, mask: core.Mask = None, stack_axes: int = 0):
    r"""Draws the distribution of each layer's weights to what it was at initialisation.

    $$\lambda \sum_l \sum_i \big(w_{l,(i)} - w^0_{l,(i)}\big)^2$$

    where w₍ᵢ₎ is the i-th smallest weight of a layer: the squared Wasserstein distance, times
    the number of weights. A weight may go anywhere as long as others take its place, which is
    less of a bond than the distance to its own initial value.

        penalty = gl.wasserstein_to_init(1e-3)
        state = penalty.init(params)                   # before training
        loss(params) + penalty(params, state)          # each step

    Args:
      weight: the factor λ of the penalty [loss units], in [0, inf).
      mask: which parameters count, a tree of bools or a function of params. None: all.
      stack_axes: how many leading axes only stack layers; weights are sorted within a layer.

    Returns:
      The regularizer: `penalty(params, state)` is a scalar, in float32 or wider. State:
      1 × params.

    Raises:
      TypeError: complex parameters.
      ValueError: `weight` outside its range, a mask that chooses nothing or an array with too
        few axes, or a state of other parameters.

    References:
      Lewandowski, Kumar, Schuurmans, György and Machado, "Learning Continually by Spectral
      Regularization", arXiv:2406.06811v1. Lewandowski, Tanaka, Schuurmans and Machado,
      "Directions of Curvature as an Explanation for Loss of Plasticity", arXiv:2312.00246v4.

    Differs:
      A layer is one array of parameters. The sum over its weights, not their mean, is
      taken.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> penalty = gl.wasserstein_to_init(1.0)
      >>> state = penalty.init({"w": jnp.array([1.0, 2.0, 3.0])})
      >>> float(penalty({"w": jnp.array([3.0, 1.0, 2.0])}, state))
      0.0
      >>> float(penalty({"w": jnp.array([3.0, 1.0, 4.0])}, state))
      2.0
    """


ENTRY = core.Entry(
    wasserstein_to_init,
    formula="weight * sum_i (sort(w)_i - sort(w0)_i)**2",
    paper=("M104", "lewandowski2023directions"),
    example={"weight": 1e-3},
    search_space={"weight": (1e-6, 1e-1, "log")},
    needs=("state",),
    traits=core.Traits(
        smooth=False,
        kinks="Where two weights of a layer are equal; the derivative of one order is taken.",
        complex=False,
    ),
)
