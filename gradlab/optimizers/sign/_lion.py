"""Lion: the sign of an average of gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import DType, Params, Scalar, ScalarOrSchedule, Updates, hyper, static


class ScaleByLion(core.Rule):
    """The direction of Lion."""

    written_last = ("mu",)
    b1: Scalar = hyper("[0, 1]")
    b2: Scalar = hyper("[0, 1]")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> optax.ScaleByLionState:
        return core.init_moments(optax.ScaleByLionState, params, self.mu_dtype)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ScaleByLionState]:
        def leaf(h: Any, g: Any, m: Any) -> tuple:
            u = self.squash(h, core.average(m, g, h.b1))
            return u, core.average(m, g, h.b2)

        updates, mu = self.each(leaf, updates, state.mu)
        return updates, optax.ScaleByLionState(optax.safe_increment(state.count), mu)

    def squash(self, h: Any, x: jax.Array) -> jax.Array:
        """What is done to the average; the sign."""
        del h
        return jnp.sign(x)


class ScaleByLionModes(ScaleByLion):
    """The direction of Lion, with softer functions in the place of the sign."""

    smooth_beta: Scalar = hyper("[0, inf)")
    mode: str = static(convert=core.one_of("hard", "smooth", "refined"))

    def squash(self, h: Any, x: jax.Array) -> jax.Array:
        if self.mode == "smooth":
            return jnp.tanh(h.smooth_beta * x)
        return jnp.where(jnp.abs(x) < 1, x, jnp.sign(x)) if self.mode == "refined" else jnp.sign(x)


class Lion(core.Optimizer, ScaleByLion):
    """Lion, with decoupled weight decay."""


@core.builds(ScaleByLionModes)
def scale_by_lion(
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    mu_dtype: DType | None = None,
    *,
    mode: str = "hard",
    smooth_beta: Scalar = 1.0,
):
    """The direction of Lion alone, without learning rate; arguments as in `lion`.

    `mode` says what is done to the average: `"hard"` takes its sign, `"smooth"` the
    hyperbolic tangent of `smooth_beta` times it, `"refined"` clips it to [-1, 1].
    """


@core.builds(Lion)
def lion(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    mu_dtype: DType | None = None,
    weight_decay: ScalarOrSchedule = 1e-3,
    mask: core.Mask = None,
):
    r"""Lion moves every coordinate by the same amount, in the direction of an average.

    $$\theta \leftarrow \theta - \eta\,\big(\mathrm{sign}(\beta_1 m + (1-\beta_1) g)
    + \lambda\,\theta\big),\quad m \leftarrow \beta_2 m + (1-\beta_2) g$$

    The sign of a complex number z is z / |z|, that of zero is zero.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: weight of the average against the gradient in the update, in [0, 1].
      b2: decay of the average of gradients, in [0, 1].
      mu_dtype: dtype in which the average is stored.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 1 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Chen, Liang, Huang, Real, Wang, Liu, Pham, Dong, Luong, Hsieh, Lu and Le, "Symbolic
      Discovery of Optimization Algorithms", arXiv:2302.06675v4, Algorithm 2.

    Differs:
      The derivative of the sign is taken as zero, so that those with respect to `b1`,
      `b2` and the gradients are zero.

    Example:
      >>> import gradlab as gl
      >>> gl.lion(1e-4)
      lion(learning_rate=0.0001, b1=0.9, b2=0.99, weight_decay=0.001)
    """


ENTRY = core.Entry(
    lion,
    formula="p -= lr * (sign(b1 * m + (1 - b1) * g) + weight_decay * p); m = b2 * m + (1 - b2) * g",
    paper=("M091",),
    example={"learning_rate": 1e-4},
    search_space={"learning_rate": (1e-5, 1e-3, "log"), "weight_decay": (1e-2, 10.0, "log")},
    traits=core.Traits(smooth=False, kinks="The sign jumps; its derivative is taken as zero."),
)
