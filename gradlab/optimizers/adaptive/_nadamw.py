"""NAdamW: NAdam with decoupled weight decay."""

from __future__ import annotations

from gradlab import core
from gradlab.core import DType, Scalar, ScalarOrSchedule
from gradlab.optimizers.adaptive._adam import ScaleByAdam


class NadamW(core.Optimizer, ScaleByAdam):
    """NAdam with decoupled weight decay."""


@core.builds(NadamW)
def nadamw(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: core.Mask = None,
    *,
    nesterov: bool = True,
):
    r"""NAdamW is NAdam with a weight decay that the adaptive denominator does not scale.

    $$\theta \leftarrow \theta - \eta\,(u + \lambda\,\theta)$$

    where u is the direction of NAdam.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added under the root [squared gradient units], in [0, inf).
      mu_dtype: dtype in which the average of gradients is stored.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.
      nesterov: whether to look one step ahead; False gives AdamW.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop 2016, Algorithm 2;
      Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101v3,
      Algorithm 2.

    Differs:
      From each paper as `nadam` and `adamw` do; the combination has no paper of its own.

    Example:
      >>> import gradlab as gl
      >>> gl.nadamw(2e-3, weight_decay=0.1).weight_decay
      0.1
    """


ENTRY = core.Entry(
    nadamw,
    formula="p -= lr * (nadam_direction + weight_decay * p)",
    paper=("dozat2016incorporating", "loshchilov2019decoupled"),
    example={"learning_rate": 2e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "weight_decay": (1e-3, 1.0, "log")},
)
