"""SDMGrad: a shortest combination near a preferred direction, by double sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting, denied, preferences
from gradlab.core import Params, Scalar, hyper, static


class SdmgradState(NamedTuple):
    """State of `sdmgrad`: weights of the objectives, on the simplex."""

    weights: jax.Array


class Sdmgrad(Weighting):
    """Descends on the weights of a regularised multi-gradient program."""

    holds = ("permutation invariant", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-9, 1)),
            "linear under scaling": ((1, 0), (0, 1)),
            "mean without conflict": ((1, 0), (0, 2)),
        }
    )

    objectives: int = static(convert=core.count_at_least(1))
    strength: Scalar = hyper("[0, inf)")
    step_size: Scalar = hyper("(0, inf)")
    momentum: Scalar = hyper("[0, 1)")
    pref_vector: Sequence[Scalar] | None = hyper("[0, inf)")
    iterations: int = static(convert=core.count_at_least(1))
    samples: int = static(convert=_stacked.samples_up_to_three)

    def init(self, params: Params) -> SdmgradState:
        del params
        return SdmgradState(jnp.full(self.objectives, 1 / self.objectives))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        self.check_count(self.objectives * self.samples, len(gram))
        cross = _stacked.across_samples(gram, self.objectives)
        wanted = preferences(self, self.objectives, 1 / self.objectives).astype(gram.dtype)
        strength, step_size, momentum = (
            jnp.asarray(x, gram.dtype) for x in (self.strength, self.step_size, self.momentum)
        )
        size = jnp.mean(core.sqrt(jnp.maximum(jnp.diagonal(cross), 0)))
        cross = core.divide(core.divide(cross, size), size)

        def descend(carry: tuple, _: None) -> tuple[tuple, None]:
            weights, velocity = carry
            velocity = momentum * velocity + cross @ (weights + strength * wanted)
            return (linalg.onto_simplex(weights - step_size * velocity), velocity), None

        old = state.weights.astype(gram.dtype)
        start = old, jnp.zeros_like(old)
        (weights, _), _ = lax.scan(descend, start, None, length=self.iterations)
        mixed = (weights + strength * wanted) / (1 + strength)
        unused = [jnp.zeros_like(mixed)] * (self.samples - 1)
        rows = jnp.concatenate([*unused, mixed])
        return rows, SdmgradState(weights.astype(state.weights.dtype))


@core.builds(Sdmgrad)
def sdmgrad(
    objectives: int,
    strength: Scalar = 0.3,
    step_size: Scalar = 5.0,
    momentum: Scalar = 0.5,
    pref_vector: Sequence[Scalar] | None = None,
    *,
    iterations: int = 20,
    samples: int = 3,
):
    r"""SDMGrad follows a short combination of gradients that stays near a preferred direction.

    $$w \approx \operatorname*{argmin}_{w \in \Delta} \tfrac12 \Big\lVert \sum_i
    (w_i + \lambda c_i)\, g_i \Big\rVert^2,\quad
    u = \frac{1}{1 + \lambda} \sum_i (w_i + \lambda c_i)\, g_i$$

    Some steps of projected descent on w start from the last weights. Their gradient is
    $J_1 J_2^\top (w + \lambda c)$ with two independent samples, so that it has no bias, divided
    by the squared mean length of the gradients; a third sample gives u. Gradients come in with
    a leading axis on every array: the objectives on the first sample, on the second, and on
    the third, and go out without it.

    Args:
      objectives: how many there are on each sample; sets the shape of the state.
      strength: λ, how near the preferred direction u stays, in [0, inf). It cancels out as
        long as c is where w starts and no weight becomes zero.
      step_size: of the descent on w, in (0, inf), for gradients of mean length one.
      momentum: of the descent on w, in [0, 1).
      pref_vector: the preference c of each objective, in [0, inf), as a sequence; None for
        the mean.
      iterations: steps of the descent on w.
      samples: 3; 2, where the second one gives u as well; or 1 for gradients without noise.

    Returns:
      The transformation, to be the first link of a chain. State: one weight for each
      objective.

    Raises:
      ValueError: gradients without the leading axis, or not `objectives * samples` of them; a
        number outside its range; a preference of the wrong length.

    Properties:
      For one sample: permutation invariant, strongly stationary, idempotent.
      Not non-conflicting: [[1, 0], [-9, 1]]. Not linear under scaling: [[1, 0], [0, 1]].
      Not mean without conflict: [[1, 0], [0, 2]].

    References:
      Xiao, Ban and Ji, "Direction-oriented Multi-objective Learning: Simple and Provable
      Stochastic Algorithms", arXiv:2305.18409, Algorithm 1 (SDMGrad).

    Differs:
      The division by the mean length, momentum, and the start from the last weights are those
      of the authors' code. Its small constant in the division is left out.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> directed = gl.sdmgrad(2, samples=1)
      >>> gradients = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> update, _ = directed.update(gradients, directed.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [0.5, 0.5]
    """


ENTRY = core.Entry(
    sdmgrad,
    formula="u = sum_i (w_i + l c_i) g_i / (1 + l), w by projected descent on |.|^2",
    paper=("xiao2023direction",),
    example={
        "objectives": 3,
        "step_size": 0.05,
        "pref_vector": (0.5, 0.3, 0.2),
        "iterations": 5,
        "samples": 1,
    },
    search_space={"strength": (0.01, 10.0, "log"), "step_size": (0.01, 10.0, "log")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A weight becomes zero; at that point the derivative is that of one side.",
    ),
)
