"""Lookahead: fast weights explore, slow weights follow a part of the way."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import LookaheadParams, LookaheadState

from gradlab import core
from gradlab.core import Params, Scalar, Transform, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._averages import as_params, started_at
from gradlab.wrappers._displaced import moved


class LookaheadSlowState(NamedTuple):
    """State of `lookahead` around parameters that are no pair.

    Attributes:
      fast_state: that of the fast optimizer.
      steps_since_sync: steps since fast and slow weights were last equal.
      slow: the slow weights, a tree like the parameters.
    """

    fast_state: Any
    steps_since_sync: Any
    slow: Any


class Lookahead(core.Around):
    """Steps with the fast optimizer; now and then goes back, to slow weights that follow."""

    inner_field = "fast_optimizer"
    inner_state_field = "fast_state"
    keeps_updates = False

    fast_optimizer: Transform = hyper()
    sync_period: int = static(convert=core.count_at_least(1))
    slow_step_size: Scalar = hyper("[0, 1]")
    reset_state: bool = static(convert=core.flag)

    def init(self, params: Params) -> LookaheadState | LookaheadSlowState:
        if isinstance(params, LookaheadParams):
            return LookaheadState(self.inner_rule.init(params.fast), core.step_count())
        fast_state = self.inner_rule.init(params)
        return LookaheadSlowState(fast_state, core.step_count(), started_at(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        params = self.needed(params)
        pair = isinstance(params, LookaheadParams)
        self._require_same_kind(pair, state)
        fast, slow = params if pair else (params, state.slow)
        updates, fast_state = self.inner_rule.update(updates, state.fast_state, fast, **extra)
        sync = state.steps_since_sync == self.sync_period - 1

        def leaf(h: Any, u: jax.Array, s: jax.Array, f: jax.Array) -> tuple:
            ahead = f + u - s
            u = jnp.where(sync, u - (1 - h.slow_step_size) * ahead, u)
            if pair:  # the caller adds it to the slow weights
                return u, jnp.where(sync, h.slow_step_size * ahead, 0)
            # The slow weights are where the fast ones go, to the bit.
            return u, jnp.where(sync, f + u, s)

        updates, slow = self.each(leaf, updates, slow, reads=(fast,))
        if self.reset_state:
            fresh = self.inner_rule.init(moved(fast, updates))
            fast_state = jax.tree.map(lambda new, old: jnp.where(sync, new, old), fresh, fast_state)
        count = (state.steps_since_sync + 1) % self.sync_period
        if pair:
            return LookaheadParams(fast=updates, slow=slow), LookaheadState(fast_state, count)
        return updates, LookaheadSlowState(fast_state, count, slow)

    def _require_same_kind(self, pair: bool, state: Any) -> None:
        if pair == isinstance(state, LookaheadSlowState):
            made, given = ("plain parameters", "a pair") if pair else ("a pair", "plain parameters")
            raise ValueError(f"lookahead: the state was made for {made}, update is given {given}")

    def eval_params(self, state: Any, params: Params) -> Params:
        if isinstance(params, LookaheadParams):
            return params.slow
        return as_params(state.slow, params)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        if isinstance(params, LookaheadParams):
            updates, params = updates.fast, params.fast
        return super().in_order(state, updates, params)


@core.builds(Lookahead)
def lookahead(
    fast_optimizer: optax.GradientTransformation,
    sync_period: int,
    slow_step_size: Scalar,
    reset_state: bool = False,
):
    r"""Lookahead goes back after every few steps, most of the way to where they began.

    $$\theta \leftarrow \theta + \mathrm{fast}(g),\quad
    \text{every } k \text{ steps: } \phi \leftarrow \phi + \alpha\,(\theta - \phi),\
    \theta \leftarrow \phi$$

    The parameters that are trained are the fast weights θ; the slow weights φ are in the
    state, and `gl.eval_params(opt, state, params)` gives them, for evaluation.

    Optax's way works, too: for a pair `gl.LookaheadParams` of fast and slow weights `init`
    gives optax's state, and `update`, with the gradient of the fast weights, updates of both.

    Args:
      fast_optimizer: the optimizer that makes the steps in between.
      sync_period: steps k from one such time to the next, at least 1.
      slow_step_size: share α of the way that is kept [dimensionless], in [0, 1]. With 1 the
        fast optimizer is alone.
      reset_state: whether the fast optimizer's state starts anew at each such time.

    Returns:
      The optimizer. State: that of `fast_optimizer`, a count and 1 × params; for pairs without
      the latter.

    Raises:
      TypeError: `fast_optimizer` is no transformation, or `sync_period` is no integer.
      ValueError: a hyperparameter outside its range, no parameters, or a pair where the state
        was made for none.

    References:
      Zhang, Lucas, Hinton and Ba, "Lookahead Optimizer: k steps forward, 1 step back",
      arXiv:1907.08610, Algorithm 1; `optax.lookahead` of optax 0.2.8.

    Differs:
      From optax in that parameters may be no pair, and that a fresh state is made for the
      parameters after the step, which matters to optimizers that keep copies of them.

    Example:
      >>> import gradlab as gl
      >>> opt, p = gl.lookahead(gl.sgd(1.0), sync_period=2, slow_step_size=0.5), 4.0
      >>> state = opt.init(p)
      >>> for _ in range(2):
      ...     updates, state = opt.update(1.0, state, p)
      ...     p = p + updates
      >>> float(p), float(gl.eval_params(opt, state, p))
      (3.0, 3.0)
    """


ENTRY = core.Entry(
    lookahead,
    formula="p += fast(g); every k steps: slow += alpha * (p - slow), p = slow",
    paper=("zhang2019lookahead",),
    example={"fast_optimizer": sgd(0.05), "sync_period": 3, "slow_step_size": 0.5},
    search_space={
        "slow_step_size": (0.1, 0.9, "linear"),
        "learning_rate": (1e-3, 1.0, "log"),
    },
)
