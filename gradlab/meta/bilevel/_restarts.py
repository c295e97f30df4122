"""Training to (near) the inner solution, and the hypergradient there."""

from __future__ import annotations

from typing import Any

import jax
import optax

from gradlab import core
from gradlab.core import Scalar, Transform, hyper, static
from gradlab.meta.bilevel._calculus import grad_inner, hypergradient_at, repeat
from gradlab.meta.bilevel._method import BilevelMethod
from gradlab.meta.bilevel._problem import Batches, BilevelProblem


class TrainThenDifferentiate(BilevelMethod):
    """Inner training, a hypergradient, and a step of the outer optimizer."""

    outer_optimizer: Transform = hyper()
    inner_optimizer: Transform = hyper()
    neumann_rate: Scalar = hyper("(0, inf)")
    damping: Scalar = hyper("[0, inf)")
    inner_steps: int = static(convert=core.count_at_least(1))
    hypergradient: str = static(convert=core.one_of("neumann", "implicit", "unrolled"))
    terms: int = static(convert=core.count_at_least(1))

    def trained(
        self, problem: BilevelProblem, x: Any, y: Any, inner_state: Any, batches: Batches
    ) -> tuple[Any, Any]:
        """The inner variables and the inner optimizer's state after the inner steps."""

        def body(t: Any, carry: Any) -> Any:
            y, state = carry
            slope = grad_inner(problem.inner, x, y, batches.at(t).inner)
            updates, state = self.inner_optimizer.update(slope, state, y)
            return problem.into_inner(optax.apply_updates(y, updates)), state

        return repeat(self.inner_steps, body, (y, inner_state))

    def outer_step(
        self, problem: BilevelProblem, state: Any, batches: Batches, y: Any, inner_state: Any
    ) -> tuple[Any, Any, Any, Any]:
        """The new outer variables, outer state, inner variables and inner state."""
        x, last = state.x, batches.at(self.inner_steps)
        if self.hypergradient == "unrolled":

            def value(x: Any) -> tuple[Any, Any]:
                result = self.trained(problem, x, y, inner_state, batches)
                return problem.outer(x, result[0], last.outer), result

            gradient, (y, inner_state) = jax.grad(value, has_aux=True)(x)
        else:
            y, inner_state = self.trained(problem, x, y, inner_state, batches)
            gradient = self._at_solution(problem, x, y, last)
        updates, outer_state = self.outer_optimizer.update(gradient, state.outer_state, x)
        x = problem.into_outer(optax.apply_updates(x, updates))
        return x, outer_state, y, inner_state

    def _at_solution(self, problem: BilevelProblem, x: Any, y: Any, batches: Batches) -> Any:
        solver, options = "neumann", {"learning_rate": self.neumann_rate, "steps": self.terms - 1}
        if self.hypergradient == "implicit":
            solver, options = "cg", {"tolerance": 1e-5, "max_steps": self.terms}
        return hypergradient_at(problem, x, y, batches, solver, damping=self.damping, **options)
