"""PCGrad: projecting conflicting gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Params, static


class PcgradState(NamedTuple):
    """State of `pcgrad`: a raw PRNG key."""

    key: jax.Array


class Pcgrad(Weighting):
    """Projects each gradient off those that it conflicts with."""

    holds = ("linear under scaling", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-2, 1), (-2, -1)),
            "permutation invariant": ((1, 0), (-2, 1), (-2, -1)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    key: int | tuple[int, ...] = static(convert=core.seed_or_words)

    def init(self, params: Params) -> PcgradState:
        del params
        return PcgradState(core.initial_key(self.key))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        key, draw = jax.random.split(state.key)
        given = extra.get("key")  # not declared: the key in the state does as well
        keys = jax.random.split(draw if given is None else given, len(gram))
        orders = jax.vmap(jax.random.permutation, (0, None))(keys, len(gram))
        return projected_weights(gram, orders), PcgradState(key)


def projected_weights(gram: jax.Array, orders: jax.Array) -> jax.Array:
    """The weight of each gradient in the sum of the projected ones.

    Args:
      gram: inner products of the gradients, of shape `(k, k)`.
      orders: row i is the order in which gradient i meets the others; itself is skipped.
    """
    lengths, cosines = _stacked.cone(gram)
    rows = jnp.arange(lengths.size)

    def meet(z: jax.Array, others: jax.Array) -> tuple[jax.Array, None]:
        # Row i of z says how gradient i, of unit length, is made of unit gradients.
        along = jnp.sum(z * cosines[others], axis=1)
        excess = jnp.where(others == rows, 0, jnp.minimum(along, 0))
        return z.at[rows, others].add(-excess), None

    z, _ = lax.scan(meet, jnp.eye(lengths.size, dtype=gram.dtype), orders.T)
    return jnp.sum(core.divide(lengths[:, None], lengths) * z, axis=0)


@core.builds(Pcgrad)
def pcgrad(key: int | jax.Array = 0):
    r"""PCGrad projects each gradient off those of other objectives that point against it.

    For each objective i, over all others j in random order,

    $$p_i \leftarrow p_i - \frac{\min(0, \langle p_i, g_j \rangle)}{\lVert g_j \rVert^2}\, g_j,
    \quad u = \sum_i p_i$$

    Gradients come in with a leading axis of objectives on every array, as `jax.jacrev` gives
    them, and go out without it. Inner products are taken over all arrays together.

    Args:
      key: a random key, or a seed, for the first state; no hyperparameter. The extra
        argument `key` of `update` takes its place for one step.

    Returns:
      The transformation, to be the first link of a chain. State: a key.

    Raises:
      ValueError: gradients without the leading axis, such as a sum.

    Properties:
      For each draw of orders: linear under scaling, strongly stationary, idempotent; the sum
      without conflict. Not non-conflicting: [[1, 0], [-2, 1], [-2, -1]].
      Not permutation invariant: [[1, 0], [-2, 1], [-2, -1]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Yu et al., "Gradient Surgery for Multi-Task Learning", arXiv:2001.06782v4, Algorithm 1.

    Differs:
      The projected gradients are summed, as in the paper's algorithm; its text also speaks
      of an average. Weights of the gradients are found from their inner products, so that
      gradients are combined once. The result may still conflict with an objective. The
      derivative by gradients is one-sided where an inner product is exactly zero.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> surgery = gl.pcgrad()
      >>> gradients = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
      >>> surgery.update(gradients, surgery.init(jnp.zeros(2)))[0].tolist()
      [0.5, 1.5]
    """


ENTRY = core.Entry(
    pcgrad,
    formula="u = sum_i p_i, where p_i -= min(0, <p_i, g_j>) / |g_j|^2 * g_j for all j",
    paper=("M053",),
    example={"key": 1},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A projection sets in where the inner product of two gradients becomes negative; "
        "at zero the derivative is half of that beyond.",
        stochastic=True,
    ),
)
