"""BSVRB with tracked Hessians, for inner problems of few dimensions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gradlab import core, linalg
from gradlab.core import Scalar, ScalarOrSchedule, hyper
from gradlab.meta.bilevel._blocks import BlockMethod
from gradlab.meta.bilevel._calculus import combine, grad_inner, products
from gradlab.meta.bilevel._problem import Batches, BilevelProblem


class BSVRBMatrices(BlockMethod):
    """The Hessian of each block is tracked, and its inverse used."""

    curvature: Scalar = hyper("(0, inf)")

    def first(self, y: Any) -> Any:
        flat = ravel_pytree(y)[0]
        return jnp.eye(flat.size, dtype=core.compute_dtype(flat))

    def block(
        self, problem: BilevelProblem, x: Any, y: Any, solution: Any, batches: Batches
    ) -> tuple[Any, Any, Any]:
        flat, unravel = ravel_pytree(y)
        fx, fy = jax.grad(problem.outer, argnums=(0, 1))(x, y, batches.outer)
        slope = grad_inner(problem.inner, x, y, batches.inner)
        hessian = jax.hessian(lambda w: problem.inner(x, unravel(w), batches.inner))(flat)
        right = ravel_pytree(fy)[0]
        solved = jnp.linalg.solve(solution, right.astype(solution.dtype)).astype(flat.dtype)
        cross, _ = products(problem.inner, x, y, batches.inner)(unravel(solved))
        return slope, hessian.astype(solution.dtype), combine((1.0, fx), (-1.0, cross))

    def settle(self, solution: Any, residuals: Any) -> tuple[Any, Any]:
        del solution
        symmetric = (residuals + jnp.swapaxes(residuals, -1, -2)) / 2
        least = jnp.asarray(self.curvature, symmetric.dtype)
        bounded = jax.vmap(linalg.raise_eigenvalues, in_axes=(0, None))(symmetric, least)
        return bounded, bounded


@core.builds(BSVRBMatrices)
def bsvrb_matrices(
    learning_rate: ScalarOrSchedule,
    inner_learning_rate: ScalarOrSchedule,
    block_rate: ScalarOrSchedule = 0.9,
    block_correction: ScalarOrSchedule = 1.0,
    outer_rate: ScalarOrSchedule = 0.9,
    curvature: Scalar = 0.1,
    *,
    sampled_blocks: int | None = None,
):
    r"""BSVRB with matrices tracks the Hessian of every block, and so needs no linear solve in time.

    It is `bsvrb`, with the Hessian in place of the product:

    $$\begin{aligned}
    H_i &\leftarrow \Pi_{H \succeq \mu}\bigl((1 - \alpha) H_i + \alpha \nabla^2_{yy} g_i
    + \gamma (\nabla^2_{yy} g_i - \nabla^2_{yy} g_i^{\text{before}})\bigr), \\
    G &= \frac{1}{|I_t|} \sum_{i \in I_t} \nabla_x f_i
    - \nabla^2_{xy} g_i \, H_i^{-1} \nabla_y f_i, \quad H_i \text{ from the step before}
    \end{aligned}$$

    Args:
      learning_rate: of the outer variables, in [0, inf), or a schedule.
      inner_learning_rate: of the inner variables, in [0, inf), or a schedule.
      block_rate: $\alpha$, in (0, 1], or a schedule.
      block_correction: $\gamma$, in [0, inf), or a schedule.
      outer_rate: of the recursive average of hypergradients, in (0, 1], or a schedule.
      curvature: $\mu$, the least eigenvalue of a tracked Hessian, in (0, inf).
      sampled_blocks: at least 1 and at most the number of blocks. None: all.

    Returns:
      The method. Its state holds x and two more like it, y and two more like it, and three
      square matrices for each block.

    Raises:
      TypeError: a value of the wrong kind; a step without `key`.
      ValueError: a number outside its range; inner variables without a leading axis of blocks.

    References:
      Hu, Qiu, Guo, Zhang and Yang, "Blockwise Stochastic Variance-Reduced Methods with Parallel
      Speedup for Multi-Block Bilevel Optimization", ICML 2023, with the code of the authors
      (quanqihu/BSVRB_ICML2023): BSVRB v1.

    Differs:
      Eigenvalues are raised to the bound; the authors' program rescales the matrix by its norm.
      Hessians start at the identity, other estimates at zero, the outer one at the first gradient.

    Example:
      >>> import jax, jax.numpy as jnp, gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, target: (y - target) ** 2,
      ...     inner=lambda x, y, batch: (y - 2 * x) ** 2,
      ... )
      >>> batches = gl.meta.Batches(outer=jnp.array([0.0, 1.0, 2.0]))
      >>> method = gl.meta.bsvrb_matrices(0.02, 0.2, outer_rate=0.1, sampled_blocks=2)
      >>> state, step = method.init(problem, 0.0, jnp.zeros(3)), jax.jit(method.step)
      >>> for key in jax.random.split(jax.random.key(0), 300):
      ...     state = step(problem, state, batches, key)
      >>> bool(abs(state.x - 0.5) < 0.1)
      True
    """


ENTRY = core.Entry(
    bsvrb_matrices,
    formula="m = (1 - b) * (m - G_old) + G, G = mean_i f_x - g_xy H_i^-1 f_y; x -= lr * m",
    paper=("M125",),
    example={
        "learning_rate": 0.02,
        "inner_learning_rate": 0.3,
        "block_correction": 0.5,
        "outer_rate": 0.2,
        "sampled_blocks": 2,
    },
    search_space={"learning_rate": (1e-4, 1.0, "log"), "inner_learning_rate": (1e-3, 1.0, "log")},
    needs=("blocks", "key"),
    traits=core.Traits(stochastic=True),
)
