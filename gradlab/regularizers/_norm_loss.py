"""Norm loss: weight vectors are drawn to the unit sphere."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, hyper, static
from gradlab.regularizers import _leaves


class NormLoss(core.Regularizer):
    """The squared distance of each unit's norm from one."""

    weight: Scalar = hyper("[0, inf)")
    mask: core.Mask = static()
    stack_axes: int = static(convert=core.count_at_least(0))

    def __call__(self, params: Params) -> jax.Array:
        def penalty(x: Any) -> jax.Array:
            lengths = core.norm(_leaves.matrices(x, self.stack_axes), axis=-2)
            return jnp.sum(jnp.square(1 - lengths))

        arrays = _leaves.chosen(self.owner(), self.mask, params, 2 + self.stack_axes)
        return _leaves.total(self.weight, [penalty(x) for x in arrays])


@core.builds(NormLoss)
def norm_loss(weight: Scalar = 0.01, *, mask: core.Mask = None, stack_axes: int = 0):
    r"""Norm loss draws the weights that feed each output unit to length one.

    $$\lambda \sum_l \sum_i \big(1 - \lVert w_{l,i} \rVert_2\big)^2$$

    Its gradient is 2λ(1 − 1/‖w‖)w: weight decay for long vectors, growth for short ones.

    Args:
      weight: the factor λ of the penalty [loss units], in [0, inf).
      mask: which parameters count, a tree of bools or a function of params. None: all with
        at least two axes. The last axis are the output units; of a convolution's kernel,
        (height, width, inputs, outputs), all other axes feed a unit.
      stack_axes: how many leading axes only stack kernels, of scanned layers say.

    Returns:
      The regularizer: `penalty(params)` is a scalar, in float32 or wider. State: none.

    Raises:
      ValueError: `weight` outside its range, or a mask that chooses nothing or an array with
        too few axes.

    References:
      Georgiou, Schmitt, Bäck, Chen and Lew, "Norm Loss: An efficient yet effective
      regularization method for deep neural networks", arXiv:2103.06583.

    Differs:
      For a vector that is exactly zero the gradient has no direction; it is taken as zero.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> penalty = gl.norm_loss(0.5)
      >>> float(penalty({"kernel": jnp.array([[3.0, 0.0], [4.0, 1.0]]), "bias": jnp.ones(2)}))
      8.0
    """


ENTRY = core.Entry(
    norm_loss,
    formula="weight * sum_i (1 - |w_i|)**2",
    paper=("M103",),
    example={"weight": 0.01},
    search_space={"weight": (1e-4, 1.0, "log")},
    traits=core.Traits(
        smooth=False,
        kinks="Where the weights of a unit are all zero; the derivative is taken as zero there.",
    ),
)
