"""MoDo: weights that follow the gradient of the multi-gradient program, by double sampling."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Params, Scalar, hyper, static


class ModoState(NamedTuple):
    """State of `modo`: weights of the objectives, on the simplex."""

    weights: jax.Array


class Modo(Weighting):
    """Takes one step towards the shortest combination of the gradients."""

    holds = ("permutation invariant", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-9, 1)),
            "linear under scaling": ((1, 0), (0, 1)),
            "strongly stationary": ((9, 0), (0, 0)),
            "mean without conflict": ((1, 0), (0, 2)),
        }
    )

    objectives: int = static(convert=core.count_at_least(1))
    step_size: Scalar = hyper("(0, inf)")
    rho: Scalar = hyper("[0, inf)")
    samples: int = static(convert=_stacked.samples_up_to_three)

    def init(self, params: Params) -> ModoState:
        del params
        return ModoState(jnp.full(self.objectives, 1 / self.objectives))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        self.check_count(self.objectives * self.samples, len(gram))
        cross = _stacked.across_samples(gram, self.objectives)
        old = state.weights.astype(gram.dtype)
        gamma, rho = (jnp.asarray(x, gram.dtype) for x in (self.step_size, self.rho))
        weights = linalg.onto_simplex(old - gamma * (cross @ old + rho * old))
        rows = {1: weights, 2: jnp.concatenate([weights, weights]) / 2}.get(self.samples)
        if rows is None:
            rows = jnp.concatenate([jnp.zeros_like(weights)] * 2 + [weights])
        return rows, ModoState(weights.astype(state.weights.dtype))


@core.builds(Modo)
def modo(objectives: int, step_size: Scalar = 0.1, rho: Scalar = 0.1, *, samples: int = 2):
    r"""MoDo moves its weights towards those of the shortest combination, one step at a time.

    $$\lambda \leftarrow \Pi_\Delta\big(\lambda - \gamma\, (J_1 J_2^\top \lambda
    + \rho\, \lambda)\big),\quad u = \tfrac12 (J_1 + J_2)^\top \lambda$$

    with the gradients $J_1$ and $J_2$ of two independent samples, so that the step of the
    weights has no bias, and Π the projection onto the simplex. Gradients come in with a
    leading axis on every array: the objectives on the first sample, then those on the second,
    and go out without it.

    Args:
      objectives: how many there are on each sample; sets the shape of the state.
      step_size: γ of the weights, in (0, inf).
      rho: strength ρ of the pull towards equal weights, in [0, inf).
      samples: 2; 3, where the weights meet only the gradients of the third; or 1 for
        gradients without noise.

    Returns:
      The transformation, to be the first link of a chain. State: one weight for each
      objective.

    Raises:
      ValueError: gradients without the leading axis, or not `objectives * samples` of them; a
        number outside its range.

    Properties:
      For one sample: permutation invariant, idempotent. Not non-conflicting: [[1, 0], [-9, 1]].
      Not linear under scaling: [[1, 0], [0, 1]]. Not strongly stationary: [[9, 0], [0, 0]].
      Not mean without conflict: [[1, 0], [0, 2]].

    References:
      Chen et al., "Three-Way Trade-Off in Multi-Objective Learning: Optimization,
      Generalization and Conflict-Avoidance", JMLR 25 (2024), Algorithm 1 and Equation 2.9.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> double = gl.modo(2, rho=0.0, samples=1)
      >>> gradients = jnp.array([[2.0, 0.0], [0.0, 1.0]])
      >>> _, state = double.update(gradients, double.init(jnp.zeros(2)))
      >>> [round(float(w), 4) for w in state.weights]
      [0.425, 0.575]
    """


ENTRY = core.Entry(
    modo,
    formula="l = simplex(l - gamma (J1 J2' l + rho l)), u = (J1 + J2)' l / 2",
    paper=("chen2024three",),
    example={"objectives": 3, "step_size": 0.05, "samples": 1},
    search_space={"step_size": (1e-4, 1.0, "log"), "rho": (1e-3, 1.0, "log")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A weight becomes zero; at that point the derivative is that of one side.",
    ),
)
