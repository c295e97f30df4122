"""NAdam: Adam that looks one step ahead."""

from __future__ import annotations

from gradlab import core
from gradlab.core import DType, Scalar, ScalarOrSchedule
from gradlab.optimizers.adaptive._adam import ScaleByAdam


class Nadam(core.Optimizer, ScaleByAdam):
    """Adam with Nesterov momentum, and an optional decoupled weight decay."""


@core.builds(Nadam)
def nadam(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""NAdam is Adam with the average of gradients taken one step further.

    $$\theta \leftarrow \theta - \frac{\eta}{\sqrt{\hat v + \bar\varepsilon} + \varepsilon}
    \Big(\frac{\beta_1 m}{1-\beta_1^{t+1}} + \frac{(1-\beta_1) g}{1-\beta_1^t}\Big)$$

    where m and v are the averages of Adam.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added under the root [squared gradient units], in [0, inf).
      mu_dtype: dtype in which the average of gradients is stored.
      nesterov: whether to look ahead; False gives Adam.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop 2016, Algorithm 2.

    Differs:
      The momentum of the paper follows a schedule; here it is the constant `b1`. The
      paper multiplies the corrected second moment by `b2` once more.

    Example:
      >>> import gradlab as gl
      >>> gl.nadam(2e-3)
      nadam(learning_rate=0.002, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)
    """


ENTRY = core.Entry(
    nadam,
    formula="p -= lr * (b1 * m_hat_next + (1 - b1) * g_hat) / (sqrt(v_hat + eps_root) + eps)",
    paper=("dozat2016incorporating",),
    example={"learning_rate": 2e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "b1": (0.8, 0.99, "linear")},
)
