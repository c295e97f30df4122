"""A combination of the gradients with random weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from gradlab import core
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Params, static


class RandomWeightsState(NamedTuple):
    """State of `random_weights`: a raw PRNG key."""

    key: jax.Array


class RandomWeights(Weighting):
    """Combines the gradients with random weights that sum to one."""

    holds = ("linear under scaling", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-99, 1)),
            "permutation invariant": ((1, 0), (0, 1)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    key: int | tuple[int, ...] = static(convert=core.seed_or_words)

    def init(self, params: Params) -> RandomWeightsState:
        del params
        return RandomWeightsState(core.initial_key(self.key))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        key, draw = jax.random.split(state.key)
        given = extra.get("key")  # not declared: the key in the state does as well
        draw = draw if given is None else given
        weights = jax.nn.softmax(jax.random.normal(draw, (len(gram),), gram.dtype))
        return weights, RandomWeightsState(key)


@core.builds(RandomWeights)
def random_weights(key: int | jax.Array = 0):
    r"""Random weights are a baseline that balances objectives on average and by chance.

    $$u = \sum_i w_i g_i,\quad w = \operatorname{softmax}(z),\quad z \sim N(0, I)$$

    with new z at each step. Gradients come in with a leading axis of objectives on every
    array, as `jax.jacrev` gives them, and go out without it.

    Args:
      key: a random key, or a seed, for the first state; no hyperparameter. The extra
        argument `key` of `update` takes its place for one step.

    Returns:
      The transformation, to be the first link of a chain. State: a key.

    Raises:
      ValueError: gradients without the leading axis, such as a sum.

    Properties:
      For each draw: linear under scaling, strongly stationary, idempotent.
      Not non-conflicting: [[1, 0], [-99, 1]]. Not permutation invariant: [[1, 0], [0, 1]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Lin et al., "Reasonable Effectiveness of Random Weighting: A Litmus Test for
      Multi-Task Learning", arXiv:2111.10603, Algorithm 2 with normal weights.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> random = gl.random_weights(3)
      >>> gradients = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> weights, state = random.update(gradients, random.init(jnp.zeros(2)))
      >>> round(float(weights.sum()), 6)
      1.0
    """


ENTRY = core.Entry(
    random_weights,
    formula="u = sum_i w_i g_i, w = softmax(normal)",
    paper=("lin2021reasonable",),
    example={"key": 1},
    needs=("stacked",),
    traits=core.Traits(
        stochastic=True,
        temporaries="gradients are combined by a matrix product, whose result is stored",
    ),
)
