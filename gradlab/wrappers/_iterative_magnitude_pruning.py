"""Iterative magnitude pruning with rewinding: the search for a lottery ticket."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab import core
from gradlab.core import Mask, Params, Scalar, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._pruned import Pruned
from gradlab.wrappers._turns import copies


class IterativeMagnitudePruningState(NamedTuple):
    """State of `iterative_magnitude_pruning`.

    Attributes:
      count: steps since the beginning of training, set back at each rewinding.
      count_rounds: prunings so far.
      kept: a mask for each array.
      rewind_params: the parameters after `rewind` steps.
      rewind_inner_state: the state of the inner optimizer then.
      inner_state: that of the inner optimizer.
    """

    count: Any
    count_rounds: Any
    kept: Any
    rewind_params: Any
    rewind_inner_state: Any
    inner_state: Any


class IterativeMagnitudePruning(Pruned):
    """Trains, prunes, and goes back to train again, as often as asked."""

    fraction: Scalar = hyper("[0, 1)")
    steps: int = static(convert=core.count_at_least(1))
    rewind: int = static(convert=core.count_at_least(0))
    rounds: int = static(convert=core.count_at_least(0))

    def present(self) -> core.Transform:
        if self.rewind >= self.steps:
            name = "iterative_magnitude_pruning"
            raise ValueError(f"{name}: rewind={self.rewind} is not before steps={self.steps}")
        return super().present()

    def init(self, params: Params) -> IterativeMagnitudePruningState:
        inner = [self.inner.rule.init(params) for _ in range(2)]
        zero, kept = core.step_count(), self.dense(params)
        return IterativeMagnitudePruningState(zero, core.step_count(), kept, copies(params), *inner)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, IterativeMagnitudePruningState]:
        params, kept = self.needed(params), state.kept
        masked = self.only_kept(updates, kept)
        updates, inner = self.inner.rule.update(masked, state.inner_state, params, **extra)
        updates = self.to_zero(updates, kept, params)
        count = jnp.asarray(optax.safe_increment(state.count))
        state = state._replace(count=count, inner_state=_like(inner, state.inner_state))

        def save() -> tuple[Updates, Any]:
            (point,) = self.each(lambda h, u, p: p + u, updates, reads=(params,))
            saved = _like(point, state.rewind_params), state.inner_state
            return updates, state._replace(rewind_params=saved[0], rewind_inner_state=saved[1])

        def back() -> tuple[Updates, Any]:
            sizes = self.sizes_after(updates, params)
            kept = self.keep_largest(sizes, state.kept, 1 - self.fraction, of_kept=True)
            (moves,) = self.each(
                lambda h, u, p, w: w - p, updates, reads=(params, state.rewind_params)
            )
            return self.to_zero(moves, kept, params), state._replace(
                count=jnp.full_like(count, self.rewind),
                count_rounds=state.count_rounds + 1,
                kept=kept,
                inner_state=state.rewind_inner_state,
            )

        first = (count == self.rewind) & (state.count_rounds == 0)
        done = (count == self.steps) & (state.count_rounds < self.rounds)
        turn = jnp.where(done, 2, jnp.where(first, 1, 0))
        return lax.switch(turn, [lambda: (updates, state), save, back])


def _like(tree: Any, like: Any) -> Any:
    """The arrays of a tree in the dtypes of another; None where one of them has none."""
    return jax.tree.map(
        lambda x, s: s if x is None else jnp.asarray(x, s.dtype), tree, like, is_leaf=core.is_none
    )


@core.builds(IterativeMagnitudePruning)
def iterative_magnitude_pruning(
    inner: optax.GradientTransformation,
    steps: int,
    rounds: int,
    fraction: Scalar = 0.2,
    rewind: int = 0,
    *,
    mask: Mask = None,
):
    r"""Trains, prunes the smallest weights, goes back to an early step, and trains again.

    $$m \leftarrow m \odot [\,|w_T| \text{ is among the } 1 - p \text{ largest of those
    kept}\,],\quad (w, o) \leftarrow (m \odot w_k, o_k)$$

    at the end of each round, for all arrays together; o is the state of the inner optimizer.
    The first round takes T steps, each later one the T − k after the point to which it goes
    back. After the last pruning training goes on without end. What is found is a subnetwork,
    m ⊙ w_k, that trains alone. Pruned weights are exactly zero, and the inner optimizer sees no
    gradient of them. It is not for the inside of a chain: nothing may come after it.

    Args:
      inner: the optimizer. Its schedules go back, too.
      steps: length T of training [steps], at least 1.
      rounds: prunings, at least 0; 0 is `inner` with an unused memory.
      fraction: fraction p of the weights still there that is pruned each time, in [0, 1).
      rewind: step k to go back to, less than `steps`; 0 is the initialization. The paper finds
        0.1 % to 7 % of training to be needed for deep networks.
      mask: which arrays are pruned, a tree of bools or a function from parameters to one. None:
        arrays of two or more dimensions. All arrays go back.

    Returns:
      The optimizer. State: twice that of `inner`, 1 × params, a bool for each weight and two
      counts.

    Raises:
      ValueError: an argument outside its range; `rewind` not before `steps`; a mask that
        selects nothing; no params.
      TypeError: `inner` is no transformation.

    References:
      Frankle, Dziugaite, Roy and Carbin, "Stabilizing the Lottery Ticket Hypothesis",
      arXiv:1903.01611v3, iterative magnitude pruning with rewinding.

    Differs:
      The number of weights that is kept is rounded to the nearest. The optimizer's state goes
      back with the weights. Going back is an update like any other, so that weights are those
      of step k up to the rounding of one addition.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.iterative_magnitude_pruning(gl.sgd(1.0), steps=1, rounds=1, fraction=0.5)
      >>> params = jnp.array([[3.0, 1.0]])
      >>> updates, state = opt.update(jnp.array([[2.5, 4.0]]), opt.init(params), params)
      >>> (params + updates).tolist(), int(state.count)
      ([[0.0, 1.0]], 0)
    """


ENTRY = core.Entry(
    iterative_magnitude_pruning,
    formula="after T steps: m = the largest of the kept; w, inner state = m * w_k, that of step k",
    paper=("M230",),
    example={"inner": sgd(0.05), "steps": 2, "rounds": 3, "fraction": 0.5, "rewind": 1},
    search_space={"learning_rate": (1e-3, 1.0, "log"), "fraction": (0.1, 0.5, "linear")},
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where weights change their order in size; the choice has derivative zero, by "
        "`fraction` too.",
        narrow_state="The parameters to go back to are kept in their own dtype.",
    ),
)
