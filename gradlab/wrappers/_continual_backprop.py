"""Continual backpropagation: the least useful units begin anew, a few at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._layer_units import Layers, LayerUnits, example_activations, example_layers


class ContinualBackpropState(NamedTuple):
    """State of `continual_backprop`; dicts have an entry for each layer.

    Attributes:
      inner_state: that of the inner optimizer.
      key: the random key, as raw words.
      utility: of each unit.
      age: steps since each unit began.
      due: how many units are to be replaced; a fraction waits.
    """

    inner_state: Any
    key: Any
    utility: Any
    age: Any
    due: Any


class ContinualBackprop(LayerUnits):
    """Replaces mature units of low utility."""

    replacement_rate: Scalar = hyper("[0, 1]")
    decay: Scalar = hyper("[0, 1)")
    maturity: int = static(convert=core.count_at_least(0))

    def init(self, params: Params) -> ContinualBackpropState:
        dtype = core.compute_dtype(*jax.tree.leaves(params), jnp.float32(0))
        layers = self.found(params)
        zeros = jnp.zeros([], jnp.finfo(dtype).dtype)
        return ContinualBackpropState(
            self.inner.rule.init(params),
            core.initial_key(self.key),
            {layer.name: jnp.zeros(layer.units, zeros.dtype) for layer in layers},
            {layer.name: jnp.zeros(layer.units, jnp.int32) for layer in layers},
            {layer.name: jnp.zeros_like(zeros) for layer in layers},
        )

    def update(
        self,
        updates: Updates,
        state: Any,
        params: Params | None = None,
        *,
        activations: Any = None,
        **extra: Any,
    ) -> tuple[Updates, ContinualBackpropState]:
        params = self.needed(params)
        layers = self.found(params)
        active = self.activity(activations, layers)
        steps, inner_state = self.inner.rule.update(updates, state.inner_state, params, **extra)
        utility, age, due, chosen = {}, {}, {}, []
        for layer, size in zip(layers, active, strict=True):
            name = layer.name
            contribution = size * self.reach(layer, params, steps)
            score = core.average(state.utility[name], contribution, self.decay)
            old = state.age[name] + 1
            mature = old > self.maturity
            waiting = state.due[name] + self.replacement_rate * jnp.sum(mature)
            rank = jnp.argsort(jnp.argsort(jnp.where(mature, score, jnp.inf)))
            begin = mature & (rank < jnp.floor(waiting))
            chosen.append(begin)
            utility[name] = jnp.where(begin, 0, score).astype(state.utility[name].dtype)
            age[name] = jnp.where(begin, 0, old)
            due[name] = (waiting - jnp.sum(begin)).astype(state.due[name].dtype)
        key, sample = jax.random.split(state.key)
        steps, inner_state = self.renewed(chosen, layers, sample, steps, inner_state, params)
        return steps, ContinualBackpropState(inner_state, key, utility, age, due)


@core.builds(ContinualBackprop)
def continual_backprop(
    inner: optax.GradientTransformation,
    layers: Layers,
    replacement_rate: Scalar = 1e-4,
    decay: Scalar = 0.99,
    maturity: int = 100,
    *,
    kernel_init: str = "he_uniform",
    key: jax.Array | int | tuple[int, ...],
):
    r"""Continual backpropagation lets the least useful hidden units begin anew.

    $$u_i \leftarrow \eta\,u_i + (1 - \eta)\,|h_i| \sum_k |w_{ik}|$$

    after each step of `inner`, where h are activations and w the weights that lead on. A
    layer's share ρ of its mature units is due in each step; as soon as that makes one, the
    mature unit with the smallest utility gets new random weights to it, weights of zero that
    lead on (so that the network's function does not jump), utility and age zero, and the
    inner optimizer's state of these weights is as before the first step.

    `update(grads, state, params, activations=activations)` is handed a tree of the hidden
    activations at these parameters, such as `{"hidden": h}`, with units as the last axis.

    Args:
      inner: the optimizer.
      layers: for each name in the activations a pair: patterns of the paths of the arrays
        that lead to its units (kernel and bias; the last axis is the units), and of those
        that lead on (the last axis but one). Patterns are those of `by_path`:
        `{"hidden": ("hidden/*", "head/kernel")}`. Or a function from params to such a dict.
        After a flattening, the channels have to come last.
      replacement_rate: part ρ of mature units to replace [1 / steps], in [0, 1].
      decay: decay η of the utility [weight per step], in [0, 1).
      maturity: number of steps for which a new unit is left alone, at least 0.
      kernel_init: what new weights are drawn from, by its name in `jax.nn.initializers`:
        one of `he_uniform`, `he_normal`, `glorot_uniform`, `lecun_uniform`, `lecun_normal`.
        Vectors, such as biases, begin with zero.
      key: a random key, or a seed. It decides the state's first key and so is no
        hyperparameter.

    Returns:
      The optimizer. Its updates are float32 or wider; it has to be the last link of a chain.
      State: that of `inner`, a key, two numbers for each unit and one for each layer.

    Raises:
      TypeError: `inner` is no transformation, `activations` are missing, or the key is traced.
      ValueError: a hyperparameter outside its range, no parameters, a pattern that matches
        nothing, a layer without activations, or shapes that do not fit.

    References:
      Dohare, Hernandez-Garcia, Lan, Rahman, Mahmood and Sutton, "Loss of Plasticity in Deep
      Continual Learning", Nature 632, 2024, equation 1 and the algorithm beside it; the
      authors' `GnT` with `util_type="contribution"` and `accumulate=True`.

    Differs:
      The authors' code corrects utilities for the age of units, which changes their order,
      and adds the mean contribution of a replaced unit to the next layer's bias. Its Adam
      counts steps for each weight; ours goes on counting. The derivative by `replacement_rate`
      and `decay` is zero: they decide which units begin anew. A parameter that begins anew is
      the drawn number up to the rounding of a sum; zeros are exact.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.continual_backprop(gl.sgd(0.5), {"h": ("in/*", "out")}, 0.5, maturity=0, key=0)
      >>> first = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}
      >>> params = {"in": first, "out": jnp.ones((2, 1))}
      >>> h = jnp.array([[1.0, 0.0]])
      >>> updates, _ = opt.update(params, opt.init(params), params, activations={"h": h})
      >>> gl.apply_updates(params, updates)["out"].ravel().tolist()
      [0.5, 0.0]
    """


ENTRY = core.Entry(
    continual_backprop,
    formula="p += inner(g); units with the least |h| sum |w_out|: w_in = random, w_out = 0",
    paper=("M206",),
    example={
        "inner": sgd(0.01),
        "layers": example_layers,
        "replacement_rate": 0.5137,
        "decay": 0.5,
        "maturity": 1,
        "key": 0,
    },
    search_space={"replacement_rate": (1e-6, 1e-2, "log"), "learning_rate": (1e-4, 1.0, "log")},
    needs=("activations",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where another unit becomes the least useful one; the derivative is that of the "
        "units as they are.",
        stochastic=True,
    ),
    extra=example_activations,
)
