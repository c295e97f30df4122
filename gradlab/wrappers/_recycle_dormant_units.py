"""ReDo: units that hardly ever fire begin anew, every so many steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._layer_units import Layers, LayerUnits, example_activations, example_layers
from gradlab.wrappers._turns import either


class RecycleDormantUnitsState(NamedTuple):
    """State of `recycle_dormant_units`.

    Attributes:
      count: steps so far.
      inner_state: that of the inner optimizer.
      key: the random key, as raw words.
    """

    count: Any
    inner_state: Any
    key: Any


class RecycleDormantUnits(LayerUnits):
    """Recycles units whose activations are small beside those of their layer."""

    threshold: Scalar = hyper("[0, inf)")
    every: int = static(convert=core.count_at_least(1))

    def init(self, params: Params) -> RecycleDormantUnitsState:
        self.found(params)  # says at once what is wrong with the description
        inner_state, key = self.inner.rule.init(params), core.initial_key(self.key)
        return RecycleDormantUnitsState(core.step_count(), inner_state, key)

    def update(
        self,
        updates: Updates,
        state: Any,
        params: Params | None = None,
        *,
        activations: Any = None,
        **extra: Any,
    ) -> tuple[Updates, RecycleDormantUnitsState]:
        params = self.needed(params)
        layers = self.found(params)
        active = self.activity(activations, layers)
        steps, inner_state = self.inner.rule.update(updates, state.inner_state, params, **extra)
        (steps,) = self.each(lambda h, u, p: u, steps, reads=(params,))
        key, sample = jax.random.split(state.key)

        def recycle() -> tuple[Updates, Any]:
            scores = [core.divide(size, size.mean()) for size in active]
            dormant = [score <= self.threshold for score in scores]
            return self.renewed(dormant, layers, sample, steps, inner_state, params)

        if layers and self.every == 1:
            steps, inner_state = recycle()
        elif layers:
            now = (state.count + 1) % self.every == 0
            steps, inner_state = either(now, recycle, lambda: (steps, inner_state))
        count = optax.safe_increment(state.count)
        return steps, RecycleDormantUnitsState(count, inner_state, key)


@core.builds(RecycleDormantUnits)
def recycle_dormant_units(
    inner: optax.GradientTransformation,
    layers: Layers,
    threshold: Scalar = 0.025,
    every: int = 1000,
    *,
    kernel_init: str = "glorot_uniform",
    key: jax.Array | int | tuple[int, ...],
):
    r"""ReDo recycles dormant units: those that hardly ever fire begin anew.

    $$s_i = \frac{\mathbb{E}\,|h_i|}{\tfrac1n \sum_k \mathbb{E}\,|h_k|} \le \tau$$

    After every F-th step of `inner`, each unit whose score s in its layer is at most τ gets new
    random weights to it and weights of zero that lead on, and the inner optimizer's state of
    these weights is as before the first step. With τ = 0 the network's function stays what it
    was on the batch.

    `update(grads, state, params, activations=activations)` is handed a tree of the hidden
    activations at these parameters, such as `{"hidden": h}`, with units as the last axis.
    They are read at every F-th step only.

    Args:
      inner: the optimizer.
      layers: as in `continual_backprop`.
      threshold: the score τ up to which a unit is dormant [multiple of the layer's mean], in
        [0, inf).
      every: number F of steps from one recycling to the next, at least 1.
      kernel_init: as in `continual_backprop`.
      key: a random key, or a seed. It decides the state's first key and so is no
        hyperparameter.

    Returns:
      The optimizer. Its updates are float32 or wider; it has to be the last link of a chain.
      State: that of `inner`, a key and a count.

    Raises:
      TypeError: `inner` is no transformation, `activations` are missing, or the key is traced.
      ValueError: a hyperparameter outside its range, no parameters, a pattern that matches
        nothing, a layer without activations, or shapes that do not fit.

    References:
      Sokar, Agarwal, Castro and Evci, "The Dormant Neuron Phenomenon in Deep Reinforcement
      Learning", arXiv:2302.12902, Algorithm 1; the authors' `NeuronRecycler`.

    Differs:
      Activations are those before the step; the authors evaluate them after it. Their code
      leaves the moments of biases as they are, repeats the mask of a flattened image channel
      by channel, and sets a weight from one recycled unit to another to zero; here it is drawn
      with those of the later layer. The derivative by `threshold` is zero. A parameter that
      begins anew is the drawn number up to the rounding of a sum; zeros are exact.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> layers = {"h": ("in/*", "out")}
      >>> opt = gl.recycle_dormant_units(gl.sgd(0.5), layers, 0.1, every=1, key=0)
      >>> first = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}
      >>> params = {"in": first, "out": jnp.ones((2, 1))}
      >>> h = jnp.array([[1.0, 0.0]])
      >>> updates, _ = opt.update(params, opt.init(params), params, activations={"h": h})
      >>> gl.apply_updates(params, updates)["out"].ravel().tolist()
      [0.5, 0.0]
    """


ENTRY = core.Entry(
    recycle_dormant_units,
    formula="p += inner(g); units with |h| <= threshold * mean |h|: w_in = random, w_out = 0",
    paper=("M207",),
    example={
        "inner": sgd(0.01),
        "layers": example_layers,
        "threshold": 0.1,
        "every": 2,
        "key": 0,
    },
    search_space={"threshold": (1e-3, 0.2, "log"), "learning_rate": (1e-4, 1.0, "log")},
    needs=("activations",),
    traits=core.Traits(stochastic=True),
    extra=example_activations,
)
