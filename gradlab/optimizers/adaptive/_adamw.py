"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

from gradlab import core
from gradlab.core import DType, Scalar, ScalarOrSchedule
from gradlab.optimizers.adaptive._adam import ScaleByAdam


class AdamW(core.Optimizer, ScaleByAdam):
    """Adam with decoupled weight decay."""


@core.builds(AdamW)
def adamw(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: core.Mask = None,
    *,
    nesterov: bool = False,
):
    r"""AdamW is Adam with a weight decay that the adaptive denominator does not scale.

    $$\theta \leftarrow \theta - \eta\,\Big(\frac{\hat m}{\sqrt{\hat v + \bar\varepsilon}
    + \varepsilon} + \lambda\,\theta\Big)$$

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added under the root [squared gradient units], in [0, inf).
      mu_dtype: dtype in which the average of gradients is stored.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.
      nesterov: whether to look one step ahead, as Nadam does.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101v3,
      Algorithm 2.

    Differs:
      The paper scales the decay by the schedule alone, not by the learning rate.

    Example:
      >>> import gradlab as gl
      >>> gl.adamw(1e-3, weight_decay=0.1).weight_decay
      0.1
    """


ENTRY = core.Entry(
    adamw,
    formula="p -= lr * (m_hat / (sqrt(v_hat + eps_root) + eps) + weight_decay * p)",
    paper=("loshchilov2019decoupled",),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "weight_decay": (1e-3, 1.0, "log")},
)
