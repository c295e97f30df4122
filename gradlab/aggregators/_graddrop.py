"""GradDrop: one sign for each coordinate, drawn by lot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._weighting import Aggregator, denied
from gradlab.core import Params, Scalar, Updates, hyper, static


class GraddropState(NamedTuple):
    """State of `graddrop`: a raw PRNG key."""

    key: jax.Array


class Graddrop(Aggregator):
    """Keeps gradients of one sign in each coordinate."""

    holds = ("permutation invariant", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-9, 1)),
            "linear under scaling": ((1, 1), (-1, -1)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    key: int | tuple[int, ...] = static(convert=core.seed_or_words)
    leak: Scalar | Sequence[Scalar] = hyper("[0, 1]")

    def init(self, params: Params) -> GraddropState:
        del params
        return GraddropState(core.initial_key(self.key))

    def aggregate(
        self, updates: Updates, state: Any, count: int, **extra: Any
    ) -> tuple[Updates, Any]:
        key, draw = jax.random.split(state.key)
        given = extra.get("key")  # not declared: the key in the state does as well
        leaves, treedef = jax.tree.flatten(updates)
        keys = jax.random.split(draw if given is None else given, len(leaves))
        leak = jnp.asarray(self.leak)
        if leak.ndim and leak.shape != (count,):
            raise ValueError(f"graddrop: leak has shape {leak.shape} for {count} objectives")
        results = []
        for leaf_key, g in zip(keys, leaves, strict=True):
            g = jnp.asarray(g, core.compute_dtype(g))
            if jnp.issubdtype(g.dtype, jnp.complexfloating):
                raise TypeError("graddrop: the sign of a complex gradient is not defined")
            uniform = jax.random.uniform(core.fusible(leaf_key), g.shape[1:], g.dtype)
            results.append(dropped(g, uniform, leak.astype(g.dtype)))
        return treedef.unflatten(results), GraddropState(key)


def dropped(g: jax.Array, uniform: jax.Array, leak: jax.Array) -> jax.Array:
    """The sum over objectives of what is kept, for one array."""
    purity = 0.5 * (1 + core.divide(jnp.sum(g, 0), jnp.sum(core.absolute(g), 0)))
    kept = jnp.where(g > 0, purity > uniform, purity < uniform) & (g != 0)
    leak = leak.reshape(leak.shape + (1,) * (g.ndim - leak.ndim)) if leak.ndim else leak
    return jnp.sum((leak + (1 - leak) * kept) * g, axis=0)


@core.builds(Graddrop)
def graddrop(leak: Scalar | Sequence[Scalar] = 0.0, *, key: int | jax.Array = 0):
    r"""GradDrop keeps in each coordinate the gradients of one sign, which is drawn by lot.

    $$P = \frac12 \Big(1 + \frac{\sum_i g_i}{\sum_i |g_i|}\Big),\quad
    u = \sum_i \big(\lambda_i + (1 - \lambda_i)\, [\text{P} > U \text{ where } g_i > 0,\
    P < U \text{ where } g_i < 0]\big)\, g_i$$

    with U uniform on [0, 1], for each coordinate and step. Gradients come in with a leading
    axis of objectives on every array, as `jax.jacrev` gives them, and go out without it.

    Args:
      leak: part λ of each gradient that passes whatever its sign, in [0, 1]: one number, or
        one for each objective.
      key: a random key, or a seed, for the first state; no hyperparameter. The extra
        argument `key` of `update` takes its place for one step.

    Returns:
      The transformation, to be the first link of a chain. State: a key.

    Raises:
      TypeError: complex gradients, which have no sign.
      ValueError: gradients without the leading axis, such as a sum; leaks of the wrong
        length; a number outside its range.

    Properties:
      For each draw, and without leak: permutation invariant, strongly stationary,
      idempotent. Not non-conflicting: [[1, 0], [-9, 1]].
      Not linear under scaling: [[1, 1], [-1, -1]]. Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Chen et al., "Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign
      Dropout", arXiv:2010.06808, Algorithm 1, lines 10 to 15, with f the identity.

    Differs:
      The paper applies it to gradients by an activation, multiplied by the sign of that
      activation and summed over the batch; here it is applied to gradients by parameters, as
      its Algorithm 1 allows. Where all gradients are zero the purity is one half.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> drop = gl.graddrop()
      >>> gradients = jnp.array([[1.0, 1.0], [-1.0, 2.0]])
      >>> update, _ = drop.update(gradients, drop.init(jnp.zeros(2)))
      >>> abs(float(update[0])), float(update[1])
      (1.0, 3.0)
    """


ENTRY = core.Entry(
    graddrop,
    formula="u = sum_i (l + (1 - l) [sign(g_i) is the one drawn]) g_i",
    paper=("chen2020just",),
    example={"leak": 0.1},
    search_space={"leak": (0.0, 1.0, "linear")},
    needs=("stacked",),
    traits=core.Traits(
        smooth=False,
        kinks="The sign that is drawn changes with the purity, and a gradient counts from zero "
        "on; the draw is held fixed in the derivative.",
        complex=False,
        stochastic=True,
        temporaries="the draws, and the parts of all objectives before they are added up",
    ),
)
