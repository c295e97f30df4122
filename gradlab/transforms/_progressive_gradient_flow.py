"""N:M sparse training in which pruned weights fade, or the pattern tightens, step by step."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Mask, Params, Scalar, Updates, hyper, static
from gradlab.transforms import _nm_patterns as nm


class ProgressiveGradientFlowState(NamedTuple):
    """Steps so far."""

    count: Any


class ProgressiveGradientFlow(core.Rule):
    """Multiplies weights outside of an N:M pattern by a number that falls to zero."""

    rate: Scalar | None = hyper("[0, inf)")
    pruned_decay: Scalar = hyper("[0, inf)")
    n: int = static(convert=core.count_at_least(1))
    m: int = static(convert=core.count_at_least(2))
    recipe: str = static(convert=core.one_of(*nm.RECIPES))
    begin: int = static(convert=core.count_at_least(0))
    end: int | None = static(convert=lambda x: x if x is None else core.count_at_least(1)(x))
    straight_through: bool = static(convert=core.flag)
    mask: Mask = static()

    def present(self) -> core.Transform:
        nm.check(self)
        return super().present()

    def init(self, params: Params) -> ProgressiveGradientFlowState:
        count = core.step_count()
        jax.eval_shape(lambda p: nm.kept(self, count, p), params)  # refuses what does not fit
        return ProgressiveGradientFlowState(count)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ProgressiveGradientFlowState]:
        params, flow = self.needed(params), nm.fading(self, state.count)
        flow = 1.0 if self.straight_through else flow

        def leaf(h: Any, g: jax.Array, p: jax.Array, kept: jax.Array) -> jax.Array:
            return jnp.where(kept != 0, g, g * flow + h.pruned_decay * p)

        reads = params, nm.kept(self, state.count, params)
        (updates,) = self.each(leaf, updates, reads=reads)
        return updates, ProgressiveGradientFlowState(optax.safe_increment(state.count))

    def eval_params(self, state: Any, params: Params) -> Params:
        left, kept = nm.fading(self, state.count), nm.kept(self, state.count, params)
        return jax.tree.map(lambda p, m: jnp.where(m, p, (p * left).astype(p.dtype)), params, kept)


@core.builds(ProgressiveGradientFlow)
def progressive_gradient_flow(
    n: int,
    m: int,
    rate: Scalar | None = None,
    recipe: str = "mdgf_exponential",
    pruned_decay: Scalar = 0.0,
    *,
    begin: int = 0,
    end: int | None = None,
    straight_through: bool = True,
    mask: Mask = None,
):
    r"""Trains towards N:M sparsity by pruned weights that fade, or a pattern that tightens.

    $$\tilde w = w \odot (m + \beta_t (1 - m)),\quad g_w = g_{\tilde w} + \lambda (1 - m) \odot w$$

    where m keeps the N largest of every M neighbouring weights. The model is run with the
    parameters that `gl.eval_params(opt, state, params)` gives, and gradients are taken there;
    they pass straight through. It stands before an optimizer, whose parameters are the w. β falls
    to zero, and is zero from the beginning where a recipe tightens the pattern instead; pruned
    weights are then exactly zero in the model. A large `rate` with `pruned_decay` is SR-STE.

    Args:
      n: weights N that are kept of each group, at least 1.
      m: size M of a group, more than `n`. Groups lie along the inputs of weights stored as
        (..., inputs, outputs).
      rate: how fast β falls [per step], in [0, inf); for the recipes `"mdgf_..."` only.
      recipe: `"mdgf_exponential"`, β = exp(−rate t); `"mdgf_linear"`, β = max(0, 1 − rate t);
        `"sdgf_stepwise"`, patterns M−1:M, M/2:M, …, N:M in equal times; `"sdgf_geometric"`,
        8N:8M, 4N:4M, 2N:2M, N:M.
      pruned_decay: decay λ of pruned weights [gradient units per parameter unit], in [0, inf).
      begin: step of the first pruning; the network is dense before.
      end: step from which the pattern is N:M and β zero. None, for `"mdgf_..."` only: never.
      straight_through: whether gradients reach pruned weights whole; if not, β of them does.
      mask: which arrays are pruned, a tree of bools or a function from parameters to one. None:
        arrays of two or more dimensions whose inputs are a multiple of the largest group.

    Returns:
      The transformation. State: a count.

    Raises:
      ValueError: an argument outside its range; `m` no power of two times `n` where a pattern
        is halved; `end` not after `begin`; a mask that selects nothing, or an array that groups
        do not divide; no params.

    References:
      Bambhaniya, Yazdanbakhsh, Subramanian, Kao, Agrawal, Evci and Krishna, "Progressive
      Gradient Flow for Robust N:M Sparsity Training in Transformers", arXiv:2402.04744; the
      authors' `sparse_functions.py`.

    Differs:
      Groups never reach over the end of a row of inputs. Of equal weights, the first are kept.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.progressive_gradient_flow(1, 2, rate=0.5, recipe="mdgf_linear")
      >>> w = jnp.array([[4.0], [-2.0]])
      >>> _, state = opt.update(w, opt.init(w), w)
      >>> gl.eval_params(opt, state, w).tolist()
      [[4.0], [-1.0]]
    """


ENTRY = core.Entry(
    progressive_gradient_flow,
    formula="w = w * (m + beta_t * (1 - m)); g += pruned_decay * (1 - m) * w",
    paper=("M095",),
    example={"n": 2, "m": 4, "rate": 0.1, "pruned_decay": 0.05},
    search_space={"rate": (1e-4, 1e-1, "log")},
)
