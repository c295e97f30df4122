"""RAdam: Adam that waits until its denominator can be trusted."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper, static


class ScaleByRadam(core.Rule):
    """The direction of RAdam."""

    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")
    eps_root: Scalar = hyper("[0, inf)")
    threshold: Scalar = hyper("[4, inf)")
    nesterov: bool = static(convert=core.flag)

    def init(self, params: Params) -> optax.ScaleByAdamState:
        return core.init_moments(optax.ScaleByAdamState, params)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ScaleByAdamState]:
        count = optax.safe_increment(state.count)
        trusted, rectification = self.rectification(count)

        def leaf(h: Any, g: Any, m: Any, v: Any) -> tuple:
            m = core.average(m, g, h.b1)
            v = core.average(v.real, core.abs_sq(g), h.b2)
            m_hat = core.debias_mean(m, g, h.b1, count, self.nesterov)
            root = core.sqrt(core.debias(v, h.b2, count) + h.eps_root)
            adaptive = core.divide(rectification.astype(v.dtype) * m_hat, root + h.eps)
            return jnp.where(trusted, adaptive, m_hat), m, v

        updates, mu, nu = self.each(leaf, updates, state.mu, state.nu)
        return updates, optax.ScaleByAdamState(count, mu, nu)

    def rectification(self, count: Any) -> tuple[jax.Array, jax.Array]:
        """Whether the second moment has samples enough, and the factor r that it then gets."""
        b2 = self.b2 if isinstance(self.b2, float) else jnp.asarray(self.b2, float)
        forgotten = b2**count
        rho_inf = 2.0 / (1.0 - b2) - 1.0
        rho = rho_inf - 2 * count * forgotten / (1 - forgotten)
        trusted = rho >= self.threshold
        # Where r is not used it would be the root of something negative.
        rho, rho_inf = jnp.where(trusted, rho, 6.0), jnp.where(trusted, rho_inf, 6.0)
        square = (rho - 4.0) * (rho - 2.0) * rho_inf
        return trusted, core.sqrt(square / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho))


class Radam(core.Optimizer, ScaleByRadam):
    """RAdam, with an optional decoupled weight decay."""


@core.builds(Radam)
def radam(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    threshold: Scalar = 5.0,
    *,
    nesterov: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""RAdam is Adam with a factor for the variance of its denominator, and without the
    denominator in the first steps.

    $$\rho_\infty = \frac{2}{1-\beta_2} - 1,\quad
    \rho = \rho_\infty - \frac{2 t \beta_2^t}{1-\beta_2^t},\quad
    r = \sqrt{\frac{(\rho-4)(\rho-2)\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\rho}}$$
    $$\theta \leftarrow \theta - \eta\,\begin{cases}
    r\,\hat m / (\sqrt{\hat v + \bar\varepsilon} + \varepsilon) & \rho \ge \text{threshold}\\
    \hat m & \text{else}\end{cases}$$

    where the averages are those of Adam. With b2 ≤ 0.6 the second case holds for ever.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added under the root [squared gradient units], in [0, inf).
      threshold: number of samples ρ [steps] from which the denominator is used, in
        [4, inf). It decides on a step; its derivative is zero.
      nesterov: whether to look one step ahead, as Nadam does.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Liu, Jiang, He, Chen, Liu, Gao and Han, "On the Variance of the Adaptive Learning Rate
      and Beyond", arXiv:1908.03265v4, Algorithm 2.

    Differs:
      The paper's threshold is 4, excluded. `eps`, `eps_root`, `nesterov` and the decay are
      not in the paper.

    Example:
      >>> import gradlab as gl
      >>> gl.radam(1e-3).threshold
      5.0
    """


ENTRY = core.Entry(
    radam,
    formula="p -= lr * (r * m_hat / (sqrt(v_hat + eps_root) + eps) if rho >= threshold else m_hat)",
    paper=("M013",),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "b1": (0.8, 0.99, "linear")},
)
