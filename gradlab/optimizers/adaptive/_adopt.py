"""ADOPT: Adam that divides each gradient by what came before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import DType, Params, Scalar, ScalarOrSchedule, Updates, hyper, static


def fourth_root(count: Any) -> Any:
    """The bound of the paper on a normalised gradient, at this count."""
    return count**0.25


class ScaleByAdopt(core.Rule):
    """The direction of ADOPT."""

    written_last = ("nu",)
    b1: Scalar = hyper("[0, 1]")
    b2: Scalar = hyper("[0, 1]")
    eps: Scalar = hyper("(0, inf)")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)
    nesterov: bool = static(convert=core.flag)
    use_clipping: bool = static(convert=core.flag)
    clip_value_fn: Callable[[Any], Any] = static()

    def init(self, params: Params) -> optax.ScaleByAdamState:
        return core.init_moments(optax.ScaleByAdamState, params, mu=self.mu_dtype)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ScaleByAdamState]:
        bound = self.clip_value_fn(state.count) if self.use_clipping else None
        # The first gradient only starts the second moment.
        started = state.count > 0

        def leaf(h: Any, g: Any, m: Any, v: Any) -> tuple:
            b1, b2 = jnp.where(started, h.b1, 1), jnp.where(started, h.b2, 0)

            def normed(v: Any) -> Any:
                ratio = g / jnp.maximum(core.sqrt(v), h.eps)
                return ratio if bound is None else jnp.clip(ratio, -bound, bound)

            m = core.average(m, normed(v.real), b1)
            # Computed again, which costs less than a place to keep it.
            u = core.average(m, normed(core.written_after(v.real, m)), b1) if self.nesterov else m
            return u, m, core.average(v.real, core.abs_sq(g), b2)

        updates, mu, nu = self.each(leaf, updates, state.mu, state.nu)
        return updates, optax.ScaleByAdamState(optax.safe_increment(state.count), mu, nu)


class Adopt(core.Optimizer, ScaleByAdopt):
    """ADOPT, with an optional decoupled weight decay."""


@core.builds(Adopt)
def adopt(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.9999,
    eps: Scalar = 1e-6,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[Any], Any] = fourth_root,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""ADOPT normalises each gradient by the second moment before it, then averages.

    $$m \leftarrow \beta_1 m + (1-\beta_1)\,\mathrm{clip}\Big(
    \frac{g}{\max(\sqrt{v}, \varepsilon)},\, -c_t,\, c_t\Big),\quad
    \theta \leftarrow \theta - \eta\, m,\quad
    v \leftarrow \beta_2 v + (1-\beta_2) g^2$$

    with c_t = t^(1/4). Step 0 sets v to the square of its gradient and moves nothing.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of normalised gradients, in [0, 1].
      b2: decay of the average of squared gradients, in [0, 1]; 1 keeps the first square.
      eps: smallest denominator [gradient units], in (0, inf).
      mu_dtype: dtype in which the average of normalised gradients is stored.
      nesterov: whether the update takes the newest normalised gradient in once more.
      use_clipping: whether normalised gradients are clipped; not with complex numbers.
      clip_value_fn: the bound c as a function of the step count (0 at the first).
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range; complex gradients with clipping.

    References:
      Taniguchi, Harada, Minegishi, Oshima, Jeong, Nagahara, Iiyama, Suzuki, Iwasawa and
      Matsuo, "ADOPT: Modified Adam Can Converge with Any β2 with the Optimal Rate",
      arXiv:2411.02853v3, the clipped algorithm; `use_clipping=False` is that of version 1.

    Differs:
      `nesterov` is not in the paper. The decay acts at step 0 too, where the authors' code
      leaves it out.

    Example:
      >>> import gradlab as gl
      >>> gl.adopt(1e-3)
      adopt(learning_rate=0.001, b1=0.9, b2=0.9999, eps=1e-06)
    """


ENTRY = core.Entry(
    adopt,
    formula="m = b1 * m + (1 - b1) * clip(g / max(sqrt(v_before), eps), c_t); p -= lr * m",
    paper=("M005",),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "b1": (0.8, 0.99, "linear")},
    traits=core.Traits(complex=False, smooth=False, kinks="At the bound of the clip, and at eps."),
)
