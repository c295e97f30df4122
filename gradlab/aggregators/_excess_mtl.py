"""ExcessMTL: weights that grow with the excess risk of each objective."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Aggregator, denied
from gradlab.core import Params, Scalar, Updates, hyper, static

SMALL = 1e-7


class ExcessMtlState(NamedTuple):
    """State of `excess_mtl`.

    Attributes:
      count: steps so far.
      weights: of the objectives; they sum to one.
      scale: excess risks that later ones are divided by: the average of the warm-up, or the
        first one.
      squares: sums of squared gradients, with a leading axis of objectives.
    """

    count: jax.Array
    weights: jax.Array
    scale: jax.Array
    squares: Any


class ExcessMtl(Aggregator):
    """Weighs objectives by how far they are from their own minimum."""

    holds = ("permutation invariant", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-9, 1)),
            "linear under scaling": ((1, 0), (0, 1)),
            "mean without conflict": ((1, 0), (0, 2)),
        }
    )

    objectives: int = static(convert=core.count_at_least(1))
    step_size: Scalar = hyper("(0, inf)")
    n_warmup_steps: int = static(convert=core.count_at_least(0))

    def init(self, params: Params) -> ExcessMtlState:
        count = self.objectives
        stacks = jax.tree.map(lambda p: jnp.stack([jnp.zeros_like(p)] * count), params)
        squares = jax.tree.map(lambda x: core.abs_sq(x), core.moments_like(stacks))
        weights = jnp.full(count, 1 / count)
        return ExcessMtlState(core.step_count(), weights, jnp.zeros(count), squares)

    def aggregate(
        self, updates: Updates, state: Any, count: int, **extra: Any
    ) -> tuple[Updates, Any]:
        del extra
        self.check_count(self.objectives, count)

        def leaf(h: Any, g: Any, s: Any) -> tuple:
            del h
            square = core.abs_sq(g)
            s = s + square
            return jnp.sum(square / jnp.sqrt(s + SMALL), axis=tuple(range(1, g.ndim))), s

        excess, squares = self.each(leaf, updates, state.squares)
        risk = sum(jax.tree.leaves(excess))
        warm = state.count < self.n_warmup_steps
        first = state.count == self.n_warmup_steps
        collected = state.scale + risk / max(self.n_warmup_steps, 1)
        start = risk if self.n_warmup_steps == 0 else state.scale
        scale = jnp.where(warm, collected, jnp.where(first, start, state.scale))
        raw = first & (self.n_warmup_steps == 0)
        relative = jnp.where(raw, risk, risk / (scale + SMALL))
        step_size = jnp.asarray(self.step_size, relative.dtype)
        moved = jax.nn.softmax(_log(state.weights) + step_size * relative)
        weights = jnp.where(warm, state.weights, moved)
        stored = weights.astype(state.weights.dtype), scale.astype(state.scale.dtype)
        new_state = ExcessMtlState(state.count + 1, *stored, squares)
        return _stacked.combine(weights, updates), new_state


def _log(x: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(x, jnp.finfo(x.dtype).tiny))


@core.builds(ExcessMtl)
def excess_mtl(objectives: int, step_size: Scalar = 1.0, *, n_warmup_steps: int = 0):
    r"""ExcessMTL shifts weight to objectives that are far from their own minimum.

    $$s_i \leftarrow s_i + g_i^2,\quad r_i = \sum_k \frac{g_{ik}^2}{\sqrt{s_{ik} + 10^{-7}}},
    \quad w_i \propto w_i\, e^{\eta\, r_i / \bar r_i},\quad u = \sum_i w_i g_i$$

    where r estimates how much of each loss could still be gained, by a diagonal Hessian as in
    Adagrad, and $\bar r$ is what it was at the start. An objective whose loss stays high from
    noise alone gains no weight. Gradients come in with a leading axis of objectives on every
    array, as `jax.jacrev` gives them, and go out without it.

    Args:
      objectives: how many there are; sets the shape of the state.
      step_size: η, in (0, inf), of the exponentiated steps of the weights.
      n_warmup_steps: steps with equal weights over which $\bar r$ is averaged. With 0 it is
        that of the first step, whose own risk is not divided by it.

    Returns:
      The transformation, to be the first link of a chain. State: one number for each
      parameter and objective, and three for each objective.

    Raises:
      ValueError: gradients without the leading axis, or of another number of objectives; a
        number outside its range.

    Properties:
      Permutation invariant, strongly stationary, idempotent.
      Not non-conflicting: [[1, 0], [-9, 1]]. Not linear under scaling: [[1, 0], [0, 1]].
      Not mean without conflict: [[1, 0], [0, 2]].

    References:
      He et al., "Robust Multi-Task Learning with Excess Risks", ICML 2024, Algorithm 1 and
      Equations 6, 7 and 9.

    Differs:
      As in the authors' code the risk of the first step is not divided by itself. Weights
      start at 1/m, as in the paper and not in the code.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> excess = gl.excess_mtl(2)
      >>> gradients = jnp.array([[4.0, 0.0], [0.0, 1.0]])
      >>> update, state = excess.update(gradients, excess.init(jnp.zeros(2)))
      >>> [round(float(w), 4) for w in state.weights]
      [0.9526, 0.0474]
    """


ENTRY = core.Entry(
    excess_mtl,
    formula="w_i *= exp(eta sum(g_i^2 / sqrt(s_i)) / r_i), u = sum_i w_i g_i / sum_i w_i",
    paper=("he2024robust",),
    example={"objectives": 3, "step_size": 0.5},
    search_space={"step_size": (1e-3, 1.0, "log")},
    needs=("stacked",),
    traits=core.Traits(elementwise=False),
)
