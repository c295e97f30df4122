"""GradVac: gradients turned towards each other as far as is usual for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Params, Scalar, hyper, static


class GradvacState(NamedTuple):
    """State of `gradvac`.

    Attributes:
      key: a raw PRNG key.
      cosines: the average of the cosine of gradient i, as it was on meeting it, to gradient
        j, of shape `(objectives, objectives)`.
    """

    key: jax.Array
    cosines: jax.Array


class Gradvac(Weighting):
    """Turns gradients towards each other until their cosine is the usual one."""

    holds = ("linear under scaling", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-2, 1), (-2, -1)),
            "permutation invariant": ((1, 0), (-2, 1), (-2, -1)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    objectives: int = static(convert=core.count_at_least(1))
    b1: Scalar = hyper("[0, 1]")
    eps: Scalar = hyper("[0, inf)")
    key: int | tuple[int, ...] = static(convert=core.seed_or_words)

    def init(self, params: Params) -> GradvacState:
        del params
        shape = (self.objectives, self.objectives)
        return GradvacState(core.initial_key(self.key), jnp.zeros(shape))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        self.check_count(self.objectives, len(gram))
        key, draw = jax.random.split(state.key)
        given = extra.get("key")  # not declared: the key in the state does as well
        keys = jax.random.split(draw if given is None else given, len(gram))
        orders = jax.vmap(jax.random.permutation, (0, None))(keys, len(gram))
        usual = state.cosines.astype(gram.dtype)
        weights, usual = vaccinated(gram, orders, usual, self.b1, self.eps)
        return weights, GradvacState(key, usual.astype(state.cosines.dtype))


def vaccinated(
    gram: jax.Array, orders: jax.Array, usual: jax.Array, b1: Any, eps: Any
) -> tuple[jax.Array, jax.Array]:
    """The weight of each gradient in the sum, and the new averages of cosines.

    Args:
      gram: inner products of the gradients, of shape `(k, k)`.
      orders: row i is the order in which gradient i meets the others; itself is skipped.
      usual: the averages of cosines so far.
      b1: their decay.
      eps: added to denominators, for gradients of length one.
    """
    lengths, cosines = _stacked.cone(gram)
    rows = jnp.arange(len(gram))
    b1, eps = (jnp.asarray(x, gram.dtype) for x in (b1, eps))

    def meet(carry: tuple, others: jax.Array) -> tuple[tuple, None]:
        # Row i of z says how gradient i, of unit length, is made of unit gradients.
        z, usual = carry
        products = z @ cosines
        size = core.sqrt(jnp.maximum(jnp.sum(products * z, axis=1), 0))
        cosine = core.divide(products[rows, others], size + eps)
        wanted = usual[rows, others]
        sine, wanted_sine = _sine(cosine), _sine(wanted)
        lack = core.divide(size * (wanted * sine - cosine * wanted_sine), wanted_sine + eps)
        itself = others == rows
        added = jnp.where(itself | (cosine >= wanted), 0, lack)
        kept = jnp.where(itself, wanted, core.average(wanted, cosine, b1))
        return (z.at[rows, others].add(added), usual.at[rows, others].set(kept)), None

    start = jnp.eye(len(gram), dtype=gram.dtype), usual
    (z, usual), _ = lax.scan(meet, start, orders.T)
    return jnp.sum(core.divide(lengths[:, None], lengths) * z, axis=0), usual


def _sine(cosine: jax.Array) -> jax.Array:
    return core.sqrt(jnp.maximum(1 - cosine * cosine, 0))


@core.builds(Gradvac)
def gradvac(objectives: int, b1: Scalar = 0.5, eps: Scalar = 1e-8, *, key: int | jax.Array = 0):
    r"""GradVac turns each gradient towards the others until their cosine is the usual one.

    For each objective i, over all others j in random order, with the cosine
    $\phi = \cos(p_i, g_j)$ and its average $\hat\phi_{ij}$, where $\phi < \hat\phi_{ij}$,

    $$p_i \leftarrow p_i + \frac{\lVert p_i \rVert
    \big(\hat\phi \sqrt{1 - \phi^2} - \phi \sqrt{1 - \hat\phi^2}\big)}
    {\lVert g_j \rVert \sqrt{1 - \hat\phi^2}}\, g_j,\quad
    \hat\phi_{ij} \leftarrow b_1 \hat\phi_{ij} + (1 - b_1) \phi,\quad u = \sum_i p_i$$

    Averages of zero make it PCGrad. Gradients come in with a leading axis of objectives on
    every array, as `jax.jacrev` gives them, and go out without it. Inner products are taken
    over all arrays together; `gradlab.partition` gives each group of arrays its own.

    Args:
      objectives: how many there are; sets the shape of the state.
      b1: decay of the average of cosines, in [0, 1]; the paper's β is `1 - b1`.
      eps: added to denominators, for gradients of length one, in [0, inf).
      key: a random key, or a seed, for the first state; no hyperparameter. The extra
        argument `key` of `update` takes its place for one step.

    Returns:
      The transformation, to be the first link of a chain. State: a key and a square of
      cosines.

    Raises:
      ValueError: gradients without the leading axis, or of another number of objectives; a
        number outside its range.

    Properties:
      For each draw of orders, at the first step and without `eps`: linear under scaling,
      strongly stationary, idempotent. Not non-conflicting: [[1, 0], [-2, 1], [-2, -1]].
      Not permutation invariant: [[1, 0], [-2, 1], [-2, -1]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Wang et al., "Gradient Vaccine: Investigating and Improving Multi-task Optimization in
      Massively Multilingual Models", arXiv:2010.05874, Algorithm 1 and Equation 4.

    Differs:
      Cosines are averaged in the order in which they are met, so that the average for one
      step sees gradients already turned, as in the paper's algorithm.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> vaccine = gl.gradvac(2)
      >>> gradients = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
      >>> update, _ = vaccine.update(gradients, vaccine.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [0.5, 1.5]
    """


ENTRY = core.Entry(
    gradvac,
    formula="u = sum_i p_i, p_i += a g_j until cos(p_i, g_j) is its average, for all j",
    paper=("wang2020gradient",),
    example={"objectives": 3, "key": 1},
    search_space={"b1": (0.0, 1.0, "linear")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A gradient is turned from the point on where its cosine to another one falls "
        "below the average; there the derivative is that of one side.",
        stochastic=True,
    ),
)
