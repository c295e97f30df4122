"""Block coordinate descent: one part of the variables after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.core import Scalar, hyper, static
from gradlab.solvers._blocks import Blocks
from gradlab.solvers._solver import Function, Solver, fitting, quiet


class BlockState(NamedTuple):
    """The number of sweeps, and how curved the objective is along each block."""

    count: jax.Array
    lipschitz: jax.Array


class BlockCoordinateDescent(Solver):
    """Sweeps over blocks, each of which takes a proximal gradient step or is solved for."""

    strength: Scalar = hyper("[0, inf)")
    lipschitz: Scalar = hyper("(0, inf)")
    increase: Scalar = hyper("(1, inf)")
    prox: Callable[..., Any] | None = static()
    block_solver: Callable[..., Any] | None = static()
    order: str = static(convert=core.one_of("cyclic", "shuffled", "greedy"))
    seed: int = static(convert=core.count_at_least(0))

    def first(self, fn: Function, x: Any) -> BlockState:
        blocks = Blocks.of(self.owner(), x)
        size = jnp.zeros([blocks.count], core.compute_dtype(jax.tree.leaves(x)[0]))
        return BlockState(core.step_count(), jnp.full_like(size, self.lipschitz))

    def observed(self, fn: Function, x: Any, state: BlockState) -> tuple[Any, jax.Array]:
        return state, core.global_norm(self.residual(fn, x))

    def moved(self, fn: Function, x: Any, state: BlockState) -> tuple[Any, Any]:
        blocks = Blocks.of(self.owner(), x)
        order = jnp.arange(blocks.count)
        if self.order == "shuffled":
            key = jax.random.fold_in(jax.random.PRNGKey(self.seed), state.count)
            order = jax.random.permutation(key, order)

        def visit(carry: tuple[Any, jax.Array], index: Any) -> tuple[Any, None]:
            if self.order == "greedy":
                parts = blocks.parts(lax.stop_gradient(self.residual(fn, carry[0])))
                index = jnp.argmax(jnp.stack([core.global_norm(part) for part in parts]))
            if blocks.rows:
                return self._block_step(fn, blocks, index, *carry), None
            steps = [
                lambda x, lipschitz, i=i: self._block_step(fn, blocks, i, x, lipschitz)
                for i in range(blocks.count)
            ]
            return lax.switch(index, steps, *carry), None

        (x, lipschitz), _ = lax.scan(visit, (x, state.lipschitz), order)
        return x, BlockState(state.count + 1, lipschitz)

    def last(self, fn: Function, x: Any, state: BlockState) -> Any:
        return self.moved(fn, x, state)[0]

    def residual(self, fn: Function, x: Any) -> Any:
        slope = jax.grad(fn)(x)
        if self.prox is None:
            return slope
        blocks = Blocks.of(self.owner(), x)
        stepped = blocks.parts(jax.tree.map(jnp.subtract, x, slope))
        nearest = blocks.whole([self._prox(block, 1.0) for block in stepped])
        return jax.tree.map(jnp.subtract, x, nearest)

    def linear(self) -> str:
        return "cg" if self.prox is None else "normal_cg"

    def _block_step(
        self, fn: Function, blocks: Blocks, index: Any, x: Any, lipschitz: jax.Array
    ) -> tuple[Any, jax.Array]:
        block = x[index] if blocks.rows else blocks.parts(x)[index]

        def objective(block: Any) -> jax.Array:
            return fn(blocks.put(x, index, block))

        if self.block_solver is not None:
            found = fitting(self.owner(), block, self.block_solver(objective, block))
            return blocks.put(x, index, found), lipschitz
        slope = jax.grad(objective)(block)
        curved = self._curvature(objective, block, lipschitz[index])
        block = self._stepped(block, slope, curved)
        return blocks.put(x, index, block), lipschitz.at[index].set(curved)

    def _stepped(self, block: Any, slope: Any, curved: jax.Array) -> Any:
        """A proximal gradient step of size one over the curvature."""
        stepped = jax.tree.map(lambda x, g: x - (g / curved).astype(x.dtype), block, slope)
        return self._prox(stepped, 1 / curved)

    def _prox(self, block: Any, scaling: Any) -> Any:
        if self.prox is None:
            return block
        return fitting(self.owner(), block, self.prox(block, self.strength, scaling))

    def _curvature(self, objective: Function, block: Any, lipschitz: jax.Array) -> jax.Array:
        """The first estimate with which the quadratic upper bound holds; a constant."""
        solver, block, lipschitz = lax.stop_gradient((self, block, lipschitz))
        increase = jnp.asarray(solver.increase, lipschitz.dtype)
        objective = quiet(objective, block)
        value, slope = jax.value_and_grad(objective)(block)
        # As many digits as a difference of two values has.
        rounding = 10 * jnp.finfo(value.dtype).eps * jnp.abs(value)

        def too_low(curved: jax.Array) -> jax.Array:
            stepped = solver._stepped(block, slope, curved)
            move = jax.tree.map(jnp.subtract, stepped, block)
            bound = value + core.inner_product(slope, move)
            bound = bound + curved / 2 * core.inner_product(move, move) + rounding
            return ~(objective(stepped) <= bound) & jnp.isfinite(curved)

        return lax.while_loop(too_low, lambda curved: curved * increase, lipschitz)


@core.builds(BlockCoordinateDescent)
def block_coordinate_descent(
    prox: Callable[..., Any] | None = None,
    strength: Scalar = 1.0,
    lipschitz: Scalar = 1.0,
    increase: Scalar = 2.0,
    tol: Scalar = 1e-4,
    max_steps: int = 500,
    *,
    block_solver: Callable[..., Any] | None = None,
    order: str = "cyclic",
    seed: int = 0,
    differentiate: str = "implicit",
    linear_solver: Any = None,
    memory: str | int = "plain",
    on_failure: str = "ignore",
):
    r"""Block coordinate descent improves one part of the variables after the other.

    $$x_i \leftarrow \operatorname{prox}_{\lambda g_i / L_i}\left(x_i - \tfrac{1}{L_i}
    \nabla_i f(x)\right) \quad\text{for each block } i \text{ in turn}$$

    for the problem of minimising f(x) + λ Σᵢ gᵢ(xᵢ). `run(f, init, *args)` takes the rows of an
    array, or the topmost children of any other tree, as blocks. A step is one sweep: as many
    visits as there are blocks, each with the blocks before it already moved. Lᵢ is found by
    backtracking: it grows until f at the new block is at most its quadratic upper bound.

    Args:
      prox: `prox(block, λ, scaling)` is argmin over y of ½‖y − block‖² + scaling λ g(y), as
        operators of `jaxopt.prox` are. None: there is no g.
      strength: λ [units of f / units of g], in [0, inf). Solutions have derivatives by it.
      lipschitz: the first estimate of every Lᵢ [units of f / units of x²], in (0, inf).
      increase: what Lᵢ is multiplied by where it is too low, in (1, inf).
      tol: ε [units of x] in [0, inf), for ‖x − prox(x − ∇f(x), λ, 1)‖₂, which is the norm of the
        gradient [units of f / units of x] where there is no prox.
      max_steps: sweeps after which it gives up, at least 1.
      block_solver: `block_solver(objective, block)` gives the best block, where `objective` is f
        as a function of this block alone. It takes the place of the proximal gradient step; the
        condition of a solution, and so its derivative, are by f and `prox` still.
      order: `"cyclic"`; `"shuffled"`: in another random order in each sweep; `"greedy"`: always
        the block with the largest residual, which takes one more gradient for each visit.
      seed: of the random orders, a whole number of at least 0.
      differentiate: `"implicit"`: by the implicit function theorem. `"unroll"`: through the
        sweeps that were made, as a scan of `max_steps`; Lᵢ count as constants.
        `"one_step"`: through one more sweep.
      linear_solver: of `"implicit"`, what `gl.meta.custom_root` takes as `solver`. None: `"cg"`,
        or `"normal_cg"` with a prox.
      memory: of `"unroll"`, what is stored and what computed again, as in `gl.meta.unroll`.
      on_failure: what becomes of parameters that did not converge. `"ignore"` gives them as they
        are, with `converged` false; `"nan"` makes them and their derivatives NaN, lane by lane
        under `vmap`; `"raise"` raises, under `jit` when the program runs.

    Returns:
      The solver, as data. While it runs it keeps one number for each block.

    Raises:
      TypeError: an argument of the wrong kind.
      ValueError: a number outside its range, or an unknown word; when it runs: an array without
        rows, or a block of the wrong shape.
      ModuleNotFoundError: a linear solver, or an error under `jit`, needs the extra `meta`.

    References:
      Tseng, "Convergence of a Block Coordinate Descent Method for Nondifferentiable
      Minimization", Journal of Optimization Theory and Applications 109, 2001. Beck and
      Tetruashvili, "On the Convergence of Block Coordinate Descent Type Methods", SIAM Journal on
      Optimization 23, 2013: block coordinate gradient projection. Nutini, Schmidt, Laradji,
      Friedlander and Koepke, "Coordinate Descent Converges Faster with the Gauss-Southwell Rule
      Than Random Selection", arXiv:1506.00552, for `"greedy"`.

    Differs:
      Beck and Tetruashvili have constants Lᵢ and projections only. jaxopt's solver keeps the
      predictions of a linear model up to date; here f is any function, and is evaluated, with
      its gradient, for each block.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> def soft_threshold(x, strength, scaling):
      ...     return jnp.sign(x) * jnp.maximum(jnp.abs(x) - strength * scaling, 0)
      >>> def f(x, a):
      ...     return jnp.sum((x - a) ** 2) / 2
      >>> solver = gl.solvers.block_coordinate_descent(soft_threshold, strength=0.5)
      >>> solve = jax.jit(lambda solver: solver.run(f, jnp.zeros(2), jnp.array([2.0, 0.1])).params)
      >>> solve(solver).tolist()
      [1.5, 0.0]
      >>> round(float(jax.grad(lambda solver: solve(solver).sum())(solver).strength), 4)
      -1.0
    """


def _shrink(block: Any, strength: Any, scaling: Any) -> Any:
    """The proximal operator of half the squared norm."""
    return jax.tree.map(lambda x: x / jnp.asarray(1 + scaling * strength, x.dtype), block)


def _run(solver: Any, problem: Any, init: Any, x: Any) -> Any:
    def smooth(y: Any, x: Any) -> Any:
        # With what the example's operator adds, it is the contract's objective.
        return problem.objective(y, x) - 0.3 * core.inner_product(y, y).astype(y["b"].dtype) / 2

    return solver.run(smooth, init, x)


ENTRY = core.Entry(
    block_coordinate_descent,
    formula="x_i <- prox(x_i - grad_i f(x) / L_i, strength, 1 / L_i), block after block",
    paper=("tseng2001convergence", "beck2013block", "nutini2015coordinate"),
    example={"prox": _shrink, "strength": 0.3, "lipschitz": 0.1, "tol": 1e-5},
    search_space={"tol": (1e-8, 1e-2, "log"), "increase": (1.1, 10.0, "linear")},
    estimate=_run,
)
