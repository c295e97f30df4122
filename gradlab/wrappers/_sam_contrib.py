"""Sharpness-aware minimisation in the words of optax.contrib."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from optax.contrib import NormalizeState, SAMState

from gradlab import core
from gradlab.core import Params, Transform, Updates, hyper, static
from gradlab.wrappers._displaced import moved
from gradlab.wrappers._turns import copies, over_several_calls


class Normalize(core.Rule):
    """Gradients divided by their norm."""

    def init(self, params: Params) -> NormalizeState:
        del params
        return NormalizeState()

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        del params, extra
        size = core.global_norm(updates)
        (updates,) = self.each(lambda h, g: core.divide(g, size.astype(g.real.dtype)), updates)
        return updates, state


@core.builds(Normalize)
def normalize():
    r"""Divides gradients by the norm of the whole tree.

    $$u = g / \lVert g \rVert$$

    Returns:
      The transformation. No state.

    Differs:
      A zero gradient gives zero, where optax's gives NaN.

    Example:
      >>> import gradlab as gl
      >>> gl.contrib.normalize().update([3.0, 4.0], gl.EmptyState())[0][0].tolist()
      0.6000000238418579
    """


class ContribSam(core.Rule):
    """Ascends with one optimizer, descends with another."""

    optimizer: Transform = hyper()
    adv_optimizer: Transform = hyper()
    sync_period: int = static(convert=core.count_at_least(1))
    reset_state: bool = static(convert=core.flag)
    opaque_mode: bool = static(convert=core.flag)
    batch_axis_name: str | None = static()

    def init(self, params: Params) -> SAMState:
        return SAMState(
            steps_since_sync=core.step_count(),
            opt_state=self.optimizer.rule.init(params),
            adv_state=self.adv_optimizer.rule.init(params),
            cache=None if self.opaque_mode else copies(params),
        )

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, SAMState]:
        if params is None:
            raise ValueError("sam: update needs the parameters: opt.update(grads, state, params)")
        step = self.in_one_call if self.opaque_mode else self.in_several_calls
        return step(updates, state, params, **extra)

    def in_one_call(
        self, updates: Updates, state: Any, params: Params, *, grad_fn: Any, **extra: Any
    ) -> tuple[Updates, SAMState]:
        adv_state = state.adv_state

        indexed = _takes_index(grad_fn)

        def gradient(place: Params, index: int) -> Updates:
            gradients = grad_fn(place, index) if indexed else grad_fn(place)
            if self.batch_axis_name is None:
                return gradients
            return lax.pmean(gradients, axis_name=self.batch_axis_name)

        uphill, place = updates, params
        for index in range(self.sync_period - 1):
            moves, adv_state = self.ascent(uphill, adv_state, place)
            place = moved(place, moves)
            uphill = gradient(place, index)
        if self.reset_state:
            adv_state = self.adv_optimizer.rule.init(params)
        updates, opt_state = self.optimizer.rule.update(uphill, state.opt_state, params, **extra)
        return updates, SAMState(core.step_count(), opt_state, adv_state, None)

    def in_several_calls(
        self, updates: Updates, state: Any, params: Params, **extra: Any
    ) -> tuple[Updates, SAMState]:
        gradients = updates

        def ascend() -> tuple[Updates, Any]:
            moves, adv_state = self.ascent(gradients, state.adv_state, params)
            like = state.adv_state
            adv_state = jax.tree.map(lambda x, s: jnp.asarray(x, s.dtype), adv_state, like)
            return moves, (state.opt_state, adv_state)

        def descend(start: Params) -> tuple[Updates, Any]:
            steps, opt_state = self.optimizer.rule.update(
                gradients, state.opt_state, start, **extra
            )
            reset = self.adv_optimizer.rule.init(params) if self.reset_state else state.adv_state
            return steps, (opt_state, reset)

        count = state.steps_since_sync
        updates, (opt_state, adv_state), cache = over_several_calls(
            self, count, self.sync_period, ascend, descend, params, state.cache
        )
        return updates, SAMState((count + 1) % self.sync_period, opt_state, adv_state, cache)

    def ascent(self, gradients: Updates, state: Any, place: Params) -> tuple[Updates, Any]:
        """Moves uphill: what the inner optimizer would do, the other way round."""
        steps, state = self.adv_optimizer.rule.update(gradients, state, place)
        return jax.tree.map(jnp.negative, steps), state

    def required(self) -> tuple[str, ...]:
        own = ("grad_fn",) if self.opaque_mode else ()
        return tuple(dict.fromkeys(own + self.optimizer.rule.required()))

    def declared(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.required() + self.optimizer.rule.declared()))

    def allows_unknown_extra(self) -> bool:
        return self.optimizer.rule.allows_unknown_extra()

    def inner_states(self, state: Any) -> dict[str, Any]:
        return {"optimizer": state.opt_state, "adv_optimizer": state.adv_state}


def _takes_index(grad_fn: Any) -> bool:
    """Whether it is called as in optax, or with parameters alone as everywhere else here."""
    try:
        inspect.signature(grad_fn).bind(None, 0)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def sam(
    optimizer: optax.GradientTransformation,
    adv_optimizer: optax.GradientTransformation,
    sync_period: int = 2,
    reset_state: bool = True,
    opaque_mode: bool = False,
    batch_axis_name: str | None = None,
) -> Transform:
    r"""SAM with an optimizer of its own for the ascent, as optax.contrib has it.

    $$\theta \leftarrow \theta + \mathrm{optimizer}\big(\nabla L(\theta + e)\big),\quad
    e = -\mathrm{adv\_optimizer}\big(\nabla L(\theta)\big)$$

    With `optimizer=gl.sgd(0.1)` and
    `adv_optimizer=gl.chain(gl.contrib.normalize(), gl.sgd(rho))` it is `gl.sam`.

    Args:
      optimizer: descends, from where the ascent began.
      adv_optimizer: its updates, with the sign turned, are the ascent.
      sync_period: gradients in each step, all but the last of which ascend; at least 1.
      reset_state: whether the ascent's state starts anew with each step.
      opaque_mode: whether one call of `update` makes a whole step, with gradients from
        `grad_fn(params, i)` or `grad_fn(params)`. Otherwise the calls take turns.
      batch_axis_name: an axis over which the gradients uphill are averaged, in opaque mode.

    Returns:
      The optimizer. State: those of both and a count; 1 × params more unless opaque.

    Raises:
      TypeError: not a transformation, or `grad_fn` is missing in opaque mode.
      ValueError: a period below 1, or no parameters.

    References:
      Foret et al., "Sharpness-Aware Minimization for Efficiently Improving
      Generalization", arXiv:2010.01412v3, Algorithm 1.

    Differs:
      Each call computes either an ascent or a descent, where optax computes both and picks.
      With a period of 1 a step begins at the present parameters; optax's begins at those
      of the call before. The cache is a copy, so that the first step can donate.

    Example:
      >>> import gradlab as gl
      >>> ascent = gl.chain(gl.contrib.normalize(), gl.sgd(0.05))
      >>> gl.hyperparameters(gl.contrib.sam(gl.sgd(0.1), ascent))
      {'optimizer.learning_rate': 0.1, 'adv_optimizer.links[1].learning_rate': 0.05}
    """
    return core.build(
        ContribSam,
        "sam",
        optimizer=core.adopt_transform(optimizer, "sam"),
        adv_optimizer=core.adopt_transform(adv_optimizer, "sam"),
        sync_period=sync_period,
        reset_state=reset_state,
        opaque_mode=opaque_mode,
        batch_axis_name=batch_axis_name,
    )


ContribSam.public = staticmethod(sam)
