"""What the methods for bilevel problems have in common."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.meta.bilevel._problem import Batches, BilevelProblem, adopt_batches

ScheduledScalar: TypeAlias = Any
"""A number or a schedule of the step count; in `advance` it is a number."""


class BilevelMethod(core.Data):
    """A way to solve bilevel problems, whose leaves are its hyperparameters.

    Subclasses define `start`, which makes a state from variables, and `advance`, one step. A
    state is a named tuple with the fields `count`, `x` (the outer variables), `y` (the inner
    ones), and what else the method keeps.

    Attributes:
      problem_type: what it solves.
      needs: what a problem has to have or a step is called with: `constraints` may be there,
        `blocks` (inner variables have a leading axis of blocks), `key`.
    """

    problem_type: ClassVar[type] = BilevelProblem
    needs: ClassVar[tuple[str, ...]] = ()

    def init(self, problem: BilevelProblem, x: Any, y: Any, batches: Any = None) -> Any:
        """The state before the first step.

        Args:
          problem: the bilevel problem.
          x: the outer variables, a tree of real arrays.
          y: the inner variables, a tree of real arrays.
          batches: what the objectives are evaluated on, for methods that prepare `y`.

        Raises:
          TypeError: `problem` is no `BilevelProblem`, or a variable is not real.
          ValueError: the problem has constraints that the method would ignore.
        """
        owner = self.owner()
        if not isinstance(problem, BilevelProblem):
            raise TypeError(f"{owner}: problem={problem!r} is no BilevelProblem")
        if problem.constraints is not None and "constraints" not in self.needs:
            raise ValueError(f"{owner}: the problem has constraints, which only lv_hba keeps")
        x, y = _real(owner, "x", x), _real(owner, "y", y)
        return self.start(problem, x, y, adopt_batches(owner, batches, self.inner_length))

    def step(self, problem: BilevelProblem, state: Any, batches: Any = None, key: Any = None):
        """One step of the outer variables, with the inner steps that belong to it.

        Args:
          problem: the bilevel problem.
          state: what `init` or the step before returned.
          batches: `Batches(outer, inner)`; None for objectives that need no batch. The same
            batch serves all inner steps, unless it is a `PerStep`.
          key: a PRNG key, for methods that draw random numbers.

        Returns:
          The new state, in the dtypes of the old one.

        Raises:
          TypeError: the method draws random numbers and has no key.
        """
        if key is None and "key" in self.needs:
            raise TypeError(f"{self.owner()}: step() needs key=, a PRNG key of its own each step")
        batches = adopt_batches(self.owner(), batches, self.inner_length)
        new = self.at(state.count).advance(problem, state, batches, key)
        return core.keep_dtypes(new._replace(count=state.count + 1), state)

    @property
    def inner_length(self) -> int:
        """How many inner steps belong to an outer one."""
        return getattr(self, "inner_steps", 1)

    def at(self, count: Any) -> Any:
        """The method with the values that its schedules have at this step."""
        return self.with_values(
            **{name: core.at(getattr(self, name), count) for name in self.hyper_names}
        )

    def start(self, problem: BilevelProblem, x: Any, y: Any, batches: Batches) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define start")

    def advance(self, problem: BilevelProblem, state: Any, batches: Batches, key: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define advance")


def _real(owner: str, name: str, tree: Any) -> Any:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            path = f"{name}{jax.tree_util.keystr(path)}"
            raise TypeError(f"{owner}: {path} has dtype {dtype}, expected real numbers")
    return jax.tree.map(jnp.asarray, tree)
