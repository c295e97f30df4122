"""Many inner problems under one outer one, of which a step samples a few."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import hyper, static
from gradlab.meta.bilevel._calculus import combine, descend, zeros_like
from gradlab.meta.bilevel._method import BilevelMethod, ScheduledScalar
from gradlab.meta.bilevel._problem import Batches, BilevelProblem


class BlocksState(NamedTuple):
    """The variables; estimates for each block; the outer estimate; the point before.

    `solution` is what stands for each block's inverse Hessian: its product with the outer
    gradient, or the Hessian itself.
    """

    count: jax.Array
    x: Any
    y: Any
    solution: Any
    residuals: Any
    slopes: Any
    mu: Any
    previous: tuple[Any, Any, Any]


class BlockMethod(BilevelMethod):
    """Blockwise variance reduction: a sampled block's estimates know their last point.

    Subclasses define `first`, the solution of one block before the first step, `block`, which
    gives a block's slope, residual and share of the hypergradient, and `settle`, which moves
    the solutions.
    """

    needs = ("blocks", "key")
    learning_rate: ScheduledScalar = hyper("[0, inf)")
    inner_learning_rate: ScheduledScalar = hyper("[0, inf)")
    block_rate: ScheduledScalar = hyper("(0, 1]")
    block_correction: ScheduledScalar = hyper("[0, inf)")
    outer_rate: ScheduledScalar = hyper("(0, 1]")
    sampled_blocks: int | None = static(convert=core.optional(core.count_at_least(1)))

    def first(self, y: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define first")

    def block(
        self, problem: BilevelProblem, x: Any, y: Any, solution: Any, batches: Batches
    ) -> tuple[Any, Any, Any]:
        raise NotImplementedError(f"{type(self).__name__} has to define block")

    def settle(self, solution: Any, residuals: Any) -> tuple[Any, Any]:
        raise NotImplementedError(f"{type(self).__name__} has to define settle")

    def start(self, problem: BilevelProblem, x: Any, y: Any, batches: Batches) -> BlocksState:
        blocks = block_count(self.owner(), y)
        if self.sampled_blocks is not None and self.sampled_blocks > blocks:
            raise ValueError(
                f"{self.owner()}: sampled_blocks={self.sampled_blocks} is outside "
                f"[1, {blocks}], the number of blocks of y"
            )
        solution = jax.vmap(self.first)(y)
        copies = jax.tree.map(jnp.copy, (x, y, solution))
        residuals = jax.tree.map(jnp.copy, solution)
        return BlocksState(
            core.step_count(), x, y, solution, residuals, zeros_like(y), zeros_like(x), copies
        )

    def advance(
        self, problem: BilevelProblem, state: BlocksState, batches: Batches, key: Any
    ) -> BlocksState:
        count, x, y, solution, residuals, slopes, mu, previous = state
        blocks = block_count(self.owner(), y)
        chosen = jnp.arange(blocks)
        if self.sampled_blocks is not None:
            chosen = jax.random.choice(key, blocks, (self.sampled_blocks,), replace=False)
        batches = Batches(*_take(tuple(batches.at(0)), chosen))

        def estimates(x: Any, y: Any, solution: Any) -> tuple[Any, Any, Any]:
            one = jax.vmap(lambda y, v, b: self.block(problem, x, y, v, b))
            slope, residual, share = one(_take(y, chosen), _take(solution, chosen), batches)
            return slope, residual, jax.tree.map(lambda s: jnp.mean(s, axis=0), share)

        (s, u, g), (s_old, u_old, g_old) = estimates(x, y, solution), estimates(*previous)
        slopes = self._corrected(slopes, chosen, s, s_old)
        residuals = self._corrected(residuals, chosen, u, u_old)
        kept = jnp.where(count == 0, 0.0, 1 - self.outer_rate)
        mu = combine((kept, mu), (-kept, g_old), (1.0, g))
        x_next = problem.into_outer(descend(x, self.learning_rate, mu))
        y_next = jax.vmap(problem.into_inner)(descend(y, self.inner_learning_rate, slopes))
        settled = self.settle(solution, residuals)
        return BlocksState(count, x_next, y_next, *settled, slopes, mu, (x, y, solution))

    def _corrected(self, average: Any, chosen: Any, new: Any, old: Any) -> Any:
        """The average, its sampled blocks moved to the new values and by what these changed."""
        rate, moved = self.block_rate, self.block_correction
        terms = ((1 - rate, _take(average, chosen)), (rate + moved, new), (-moved, old))
        values = combine(*terms)
        return jax.tree.map(lambda a, v: a.at[chosen].set(v), average, values)


def block_count(owner: str, y: Any) -> int:
    """How many blocks the inner variables have.

    Raises:
      ValueError: a leaf has no leading axis, or another one than the first leaf has.
    """
    found = None
    for path, leaf in jax.tree_util.tree_leaves_with_path(y):
        size = leaf.shape[0] if leaf.ndim else 0
        found = size if found is None else found
        if size == 0 or size != found:
            raise ValueError(
                f"{owner}: y{jax.tree_util.keystr(path)} has shape {leaf.shape}, expected a "
                f"leading axis of {found or 'at least 1'}, one entry for each block"
            )
    return found or 0


def _take(tree: Any, chosen: jax.Array) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[chosen], tree)
