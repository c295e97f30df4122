"""CR-MOGM: an average of the weights that another method gives."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._mgda import mgda
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Params, ScalarOrSchedule, Transform, hyper, static


class CrmogmState(NamedTuple):
    """State of `crmogm`.

    Attributes:
      count: steps so far.
      weights: the average of the weights of the objectives.
      inner_state: of the method that gives the weights.
    """

    count: jax.Array
    weights: jax.Array
    inner_state: Any


class Crmogm(core.Wrapper, Weighting):
    """Averages the weights of an inner method over the steps."""

    # Those of the inner method at the first step, here of MGDA.
    holds = ("non-conflicting", "permutation invariant", "idempotent")
    fails = denied(
        {
            "linear under scaling": ((1, 0), (0, 1)),
            "strongly stationary": ((1, 0), (0, 0)),
            "mean without conflict": ((2, 0), (0, 1)),
        }
    )

    objectives: int = static(convert=core.count_at_least(1))
    b1: ScalarOrSchedule = hyper("[0, 1]")

    def init(self, params: Params) -> CrmogmState:
        if not isinstance(self.inner.rule, Weighting):
            raise TypeError(f"crmogm: inner has no weights from inner products: {self.inner!r}")
        weights = jnp.full(self.objectives, 1 / self.objectives)
        return CrmogmState(core.step_count(), weights, self.inner.rule.init(params))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        self.check_count(self.objectives, len(gram))
        rule: Any = self.inner.rule
        new, inner_state = rule.weigh(gram, state.inner_state, **extra)
        b1 = jnp.asarray(core.at(self.b1, state.count), new.dtype)
        old = jnp.where(state.count == 0, new, state.weights.astype(new.dtype))
        weights = core.average(old, new, b1)
        kept = weights.astype(state.weights.dtype)
        return weights, CrmogmState(state.count + 1, kept, inner_state)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"b1": state.count}


@core.builds(Crmogm)
def crmogm(inner: Transform, objectives: int, b1: ScalarOrSchedule = 0.9):
    r"""CR-MOGM averages the weights of another method, so that noise in them averages out.

    $$\lambda_t = b_1 \lambda_{t-1} + (1 - b_1)\, \hat\lambda_t,\quad
    u = \sum_i \lambda_{t,i}\, g_i$$

    where $\hat\lambda$ are the weights that the inner method finds. The weights then depend
    less on the sample whose gradients they combine. Gradients come in with a leading axis of
    objectives on every array, as `jax.jacrev` gives them, and go out without it.

    Args:
      inner: an aggregator that weighs gradients by their inner products, such as `mgda`,
        `upgrad` or `cagrad`.
      objectives: how many there are; sets the shape of the state.
      b1: decay of the average of the weights, in [0, 1]: 0 is the inner method, 1 keeps the
        first weights. The paper lets it grow towards 1 as the learning rate falls.

    Returns:
      The transformation, to be the first link of a chain. State: one weight for each
      objective, a count, and the inner state.

    Raises:
      TypeError: an inner transformation that is no such aggregator.
      ValueError: gradients without the leading axis, or of another number of objectives; a
        number outside its range.

    Properties:
      At the first step those of the inner method. Around `mgda`: non-conflicting, permutation
      invariant, idempotent. Not linear under scaling: [[1, 0], [0, 1]].
      Not strongly stationary: [[1, 0], [0, 0]]. Not mean without conflict: [[2, 0], [0, 1]].

    References:
      Zhou et al., "On the Convergence of Stochastic Multi-Objective Gradient Manipulation and
      Beyond", NeurIPS 2022, Algorithm 1.

    Differs:
      The average starts at the first weights that the inner method finds, so that the first
      step is that of the inner method.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> smooth = gl.crmogm(gl.mgda(), 2)
      >>> gradients = jnp.array([[2.0, 0.0], [0.0, 1.0]])
      >>> _, state = smooth.update(gradients, smooth.init(jnp.zeros(2)))
      >>> [round(float(w), 4) for w in state.weights]
      [0.2, 0.8]
    """


ENTRY = core.Entry(
    crmogm,
    formula="l = b1 l + (1 - b1) inner(J J'), u = sum_i l_i g_i",
    paper=("zhou2022convergence",),
    example={"inner": mgda(), "objectives": 3, "b1": 0.5},
    search_space={"b1": (0.1, 0.999, "linear")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where the inner method has one.",
    ),
)
