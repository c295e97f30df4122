"""A running median of the gradients, by clipped steps towards each."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import DType, Params, Scalar, Updates, hyper, static


class RunningMedianState(NamedTuple):
    """The estimate of the median."""

    mu: Any


class RunningMedianGradient(core.Rule):
    """Replaces gradients by an estimate of their median over the steps."""

    max_delta: Scalar = hyper("[0, inf]")
    norm: str = static(convert=core.one_of("l2", "l1"))
    mu_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> RunningMedianState:
        return core.init_moments(RunningMedianState, params, self.mu_dtype)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, RunningMedianState]:
        (gaps,) = self.each(lambda h, g, m: g - m, updates, reads=(state.mu,))
        distance = core.global_norm(gaps) if self.norm == "l2" else None

        def leaf(h: Any, g: jax.Array, m: jax.Array) -> tuple:
            gap = g - m
            far = core.absolute(gap) if distance is None else distance.astype(g.real.dtype)
            near = far <= h.max_delta
            # A distance that is not a number has to spread, and so counts as far.
            share = jnp.where(near, 1, h.max_delta / jnp.where(near, 1, far))
            m = jnp.where(near, g, m + share * gap)
            return m, m

        updates, mu = self.each(leaf, updates, state.mu)
        return updates, RunningMedianState(mu)


@core.builds(RunningMedianGradient)
def running_median_gradient(max_delta: Scalar, norm: str = "l2", mu_dtype: DType | None = None):
    r"""Replaces gradients by a running estimate of their median, robust to heavy tails.

    $$m \leftarrow m + \mathrm{clip}_\tau(g - m),\quad g \leftarrow m$$

    Each step is the proximal point of the distance to one gradient. With the Euclidean
    distance it clips to a ball and m estimates the geometric median; with the sum of absolute
    values it clips each coordinate and m estimates the median of each.

    Args:
      max_delta: how far τ the estimate moves in a step [gradient units], in [0, inf]; inf
        takes the gradient itself.
      norm: `"l2"`, the Euclidean distance over all arrays together, or `"l1"`.
      mu_dtype: dtype of the estimate. None: the parameter's, float32 below 32 bits.

    Returns:
      The transformation. State: 1 × params. The estimate starts at zero.

    Raises:
      ValueError: an argument outside its range.

    References:
      Schaipp, Garrigos, Simsekli and Gower, "SGD with Clipping is Secretly Estimating the
      Median Gradient", arXiv:2402.12828v1, the online medians by stochastic proximal points.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.running_median_gradient(1.0)
      >>> opt.update(jnp.array([3.0, 4.0]), opt.init(jnp.zeros(2)))[0].tolist()
      [0.6000000238418579, 0.800000011920929]
    """


ENTRY = core.Entry(
    running_median_gradient,
    formula="mu += clip(g - mu, max_delta); g = mu",
    paper=("M037",),
    example={"max_delta": 0.5},
    search_space={"max_delta": (1e-3, 10.0, "log")},
    traits=core.Traits(
        elementwise=False, smooth=False, kinks="Where a distance passes `max_delta`."
    ),
)
