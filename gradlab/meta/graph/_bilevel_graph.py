"""A bilevel problem as a graph of two levels."""

from __future__ import annotations

import dataclasses
from typing import Any

from gradlab.core import Transform
from gradlab.meta.bilevel import BilevelProblem
from gradlab.meta.graph._graph import ProblemGraph
from gradlab.meta.graph._problem import Problem
from gradlab.meta.graph._problem_graph import problem_graph


@dataclasses.dataclass(frozen=True)
class _Objective:
    """An objective of both variables, as a loss of a dict; equal where the objectives are."""

    objective: Any

    def __call__(self, variables: dict[str, Any], batch: Any) -> Any:
        return self.objective(variables["x"], variables["y"], batch)


def bilevel_graph(
    problem: BilevelProblem,
    outer_optimizer: Transform,
    inner_optimizer: Transform,
    *,
    inner_steps: int = 10,
    response: Any = "cg",
) -> ProblemGraph:
    """A bilevel problem as a graph of its inner problem, `"y"`, and its outer one, `"x"`.

    Args:
      problem: the bilevel problem, without constraints and joint projections.
      outer_optimizer: any optimizer, of x.
      inner_optimizer: any optimizer, of y; its state is kept throughout.
      inner_steps: after how many steps of y, each a step of the graph, x makes one, at least 1.
      response: as in `Problem`, of y.

    Returns:
      The graph. With the same batch at all steps, `inner_steps` steps of it are one step of
      `warm_start`.

    Raises:
      TypeError: a value of the wrong kind.
      ValueError: the problem has constraints or a joint projection, or there are no inner steps.

    Example:
      >>> import gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, batch: (y - 1.0) ** 2, inner=lambda x, y, batch: (y - 2 * x) ** 2
      ... )
      >>> graph = gl.meta.bilevel_graph(problem, gl.sgd(0.05), gl.sgd(0.2))
      >>> graph.edges["u2l"]["x"], graph.edges["l2u"]["y"]
      (('y',), ('x',))
    """
    if not isinstance(problem, BilevelProblem):
        raise TypeError(f"bilevel_graph: problem={problem!r} is no BilevelProblem")
    for name in ("constraints", "project"):
        if getattr(problem, name) is not None:
            raise ValueError(f"bilevel_graph: the problem has {name}, which a graph cannot keep")
    inner = Problem(
        name="y",
        loss=_Objective(problem.inner),
        optimizer=inner_optimizer,
        depends=("x",),
        response=response,
        project=problem.project_inner,
    )
    outer = Problem(
        name="x",
        loss=_Objective(problem.outer),
        optimizer=outer_optimizer,
        depends=("y",),
        every=inner_steps,
        project=problem.project_outer,
    )
    return problem_graph((inner, outer))
