"""Problems of several levels, each judged by where the ones below it settle."""

from __future__ import annotations

from typing import Any

import jax

from gradlab import core
from gradlab.meta._implicit_hypergradient import implicit_hypergradient
from gradlab.meta.graph._graph import ProblemGraph
from gradlab.meta.graph._problem import Problem


def _inner(variables: dict[str, Any], batch: Any) -> jax.Array:
    return batch.inner(variables["x"], variables["y"])


def _outer(variables: dict[str, Any], batch: Any) -> jax.Array:
    return batch.outer(variables["x"], variables["y"])


def _at_the_optimum(graph: ProblemGraph, problem: Any, x: Any, key: jax.Array) -> Any:
    state = graph.init({"x": x, "y": problem.solution(x)})
    return graph.gradient("x", state, {"x": problem, "y": problem}, key).gradient


@core.builds(ProblemGraph)
def problem_graph(problems: Any):
    r"""Problems of several levels, each judged by where the ones below it settle.

    $$\theta_i^*(\theta_{>i}) = \arg\min_{\theta_i} F_i(\theta_i, \theta_{>i}), \qquad
    F_i(\theta_i, \theta_{>i}) = g_i(\theta_i, \theta_{>i}, \theta_{<i}^*)$$

    $$\frac{d F_i}{d \theta_i} = \frac{\partial g_i}{\partial \theta_i} + \sum_{j < i}
    \Big(\frac{\partial \theta_j^*}{\partial \theta_i}\Big)^\top v_j, \qquad
    v_j = \frac{\partial g_i}{\partial \theta_j} + \sum_{k < j}
    \Big(\frac{\partial \theta_k^*}{\partial \theta_j}\Big)^\top v_k$$

    The sums, from the lowest level up, are over all paths from the loss through best responses
    to the variables: there may be several, where a problem reaches another both directly and
    through one in between. A best response moves by the implicit function theorem of its *total*
    loss F, in which the levels below respond again, or by what `response=` says.

        graph = gl.meta.problem_graph([
            gl.meta.Problem(name="weights", loss=training_loss, optimizer=gl.adamw(1e-3),
                            depends=("shares",)),
            gl.meta.Problem(name="shares", loss=validation_loss, optimizer=gl.adam(1e-2),
                            depends=("weights",), every=10),
        ])
        state = graph.init({"weights": weights, "shares": shares})
        state, report = jax.jit(graph.step)(state, {"weights": batch, "shares": validation})

    A graph is data: its leaves are the hyperparameters of all optimizers and responses, by paths
    like `problems[0].optimizer.learning_rate`. Who depends on whom, and `every`, are structure.
    `graph.step` makes one step of each problem whose time it is, the lowest first;
    `graph.gradient(name, state, batches)` is the total derivative alone; `graph.edges` and
    `graph.paths(name)` say what depends on what.

    Args:
      problems: `Problem`s, from the lowest level to the highest. A problem that depends on a lower
        one sees its best response; one that depends on a higher one takes it as it is. Of those
        on which no higher one depends, `response` is dropped.

    Returns:
      The graph. Its state holds the variables and the states of the optimizers. A derivative
      holds vectors like the variables of one level at a time, and what its response says.

    Raises:
      ModuleNotFoundError: as in `implicit_hypergradient`.
      RuntimeError: at a step: a response failed, and its `on_failure` is `"raise"`.
      TypeError: there is something else than problems; variables are not real.
      ValueError: two problems of one name, one that depends on itself, on an unknown one, or on a
        higher one whose loss does not come to depend on it; at a step: names that do not fit, or
        a loss that reads what its problem's `depends` does not name.

    References:
      Choe, Neiswanger, Xie and Xing, "Betty: An Automatic Differentiation Library for Multilevel
      Optimization", arXiv:2207.02849v2: problems as a graph of upper-to-lower and lower-to-upper
      edges, and derivatives as chains of products of vectors with Jacobians of best responses.

    Differs:
      The paper multiplies along each path; here what flows into a level is summed first, and each
      level's system is solved once, whatever the number of paths. In the paper's code a level
      responds by the second derivatives of its own loss with the levels below it held, which is
      exact where these do not depend on it, and `"cg"` and `"neumann"` are refused elsewhere; here
      second derivatives are those of the total loss, so that each product with a curvature matrix
      of a middle level solves systems of the levels below. Reports are of the outermost systems;
      a failure within raises or makes NaN all the same, but for `"ignore"`, and but for
      approximations, which are judged at the outermost alone. There, too,
      `finite_difference_response` takes the limit of its difference. `every` counts steps of the
      graph, not of the level below. What a problem below responds to in place of its optimum is
      the point where it is. Forward mode does not pass through three levels.

    Example:
      >>> import gradlab as gl, jax
      >>> graph = gl.meta.problem_graph([
      ...     gl.meta.Problem(
      ...         name="y",
      ...         loss=lambda v, _: (v["y"] - 2 * v["z"] - v["x"]) ** 2,
      ...         optimizer=gl.sgd(0.5),
      ...         depends=("z", "x"),
      ...     ),
      ...     gl.meta.Problem(
      ...         name="z",
      ...         loss=lambda v, _: (v["y"] - 1.0) ** 2 + v["z"] ** 2,
      ...         optimizer=gl.sgd(0.1),
      ...         depends=("y",),
      ...     ),
      ...     gl.meta.Problem(
      ...         name="x",
      ...         loss=lambda v, _: (v["z"] - 3.0) ** 2,
      ...         optimizer=gl.sgd(1.0),
      ...         depends=("z",),
      ...     ),
      ... ])
      >>> graph.paths("x")
      [('x', 'z', 'x')]
      >>> state, step = graph.init({"x": 0.0, "y": 0.0, "z": 0.0}), jax.jit(graph.step)
      >>> for _ in range(100):
      ...     state, report = step(state)
      >>> round(float(state.variables["x"]), 3), round(float(state.variables["z"]), 3)
      (-6.5, 3.0)
    """


ENTRY = core.Entry(
    problem_graph,
    formula="dF_i = dg_i/dx_i + sum_j<i (dx_j*/dx_i)^T v_j, v_j = dg_i/dx_j + sum_k<j ...",
    paper=("choe2022betty",),
    example={
        "problems": (
            Problem(
                name="y",
                loss=_inner,
                optimizer=core.chain(),
                depends=("x",),
                # A learning rate far off makes the series diverge: to be seen, not raised.
                response=implicit_hypergradient(
                    "neumann", learning_rate=0.5, steps=60, on_failure="ignore"
                ),
            ),
            Problem(name="x", loss=_outer, optimizer=core.chain(), depends=("y",)),
        )
    },
    search_space={"learning_rate": (1e-3, 1.0, "log"), "damping": (0.0, 0.1, "linear")},
    estimate=_at_the_optimum,
)
