"""Linear systems of implicit differentiation: how they are solved, and what that is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jax.flatten_util import ravel_pytree

from gradlab import core, linalg
from gradlab.core import Scalar, hyper, static

KRYLOV = {"cg": linalg.conjugate_gradient, "minres": linalg.minres}
ITERATIVE = (*KRYLOV, "gmres", "bicgstab", "normal_cg")
EXACT = (*ITERATIVE, "dense")
"""Solvers that go on until the residual is small."""

APPROXIMATE = ("neumann", "nystrom", "one_step")
"""Solvers that are wrong by as much as their hyperparameters say."""

ON_FAILURE = ("raise", "nan", "ignore")
Product = Callable[[jax.Array], jax.Array]

REASONS = (
    "the operator is not positive definite, and solver='cg' needs that: a direction of negative "
    "or no curvature was found. Is this a minimum? damping=… adds a multiple of the identity, "
    "product='gauss_newton' is positive semi-definite, and solver='minres' takes any symmetric "
    "operator",
    "the linear solver did not reach its tolerance: a singular operator, too few max_steps, or a "
    "tolerance that these dtypes cannot reach; damping=… makes a system easier",
    "the Neumann series diverges: learning_rate is larger than 2 over the largest eigenvalue, or "
    "there is negative curvature",
    "the linear system has values that are not finite",
)


class Solved(NamedTuple):
    """A solution, and what it is worth.

    Attributes:
      x: the solution, of shape `(n,)`.
      residual: the norm of what it leaves, over that of the right-hand side.
      iterations: how many steps the solver took.
      converged: whether the residual is as small as `tolerance` says.
      curvature: the smallest vᵀAv / vᵀv among the vectors that were looked at.
      indefinite: whether that is negative by more than rounding.
      failed: whether the solution is not what the solver promises.
      reason: why, as an index of `REASONS`.
    """

    x: jax.Array
    residual: jax.Array
    iterations: jax.Array
    converged: jax.Array
    curvature: jax.Array
    indefinite: jax.Array
    failed: jax.Array
    reason: jax.Array


class LinearSolver(core.Data):
    """How a linear system is solved that is known by its products with vectors."""

    damping: Scalar = hyper("[0, inf)", default=0.0)
    learning_rate: Scalar | None = hyper("(0, inf)", default=None)
    tolerance: Scalar | None = hyper("[0, 1)", default=None)
    solver: str = static(default="cg", convert=core.one_of(*EXACT, *APPROXIMATE))
    steps: int | None = static(default=None, convert=core.optional(core.count_at_least(0)))
    rank: int | None = static(default=None, convert=core.optional(core.count_at_least(1)))
    max_steps: int | None = static(default=None, convert=core.optional(core.count_at_least(1)))
    on_failure: str = static(default="raise", convert=core.one_of(*ON_FAILURE))

    def present(self) -> Any:
        needed_by = {
            "learning_rate": ("neumann", "one_step"),
            "steps": ("neumann",),
            "rank": ("nystrom",),
        }
        for name, solvers in needed_by.items():
            if getattr(self, name) is None and self.solver in solvers:
                raise ValueError(f"{self.owner()}: solver={self.solver!r} needs {name}=…")
        for name, solvers in (needed_by | {"max_steps": ITERATIVE}).items():
            if getattr(self, name) is not None and self.solver not in solvers:
                raise ValueError(f"{self.owner()}: solver={self.solver!r} takes no {name}=…")
        undamped = isinstance(self.damping, float) and self.damping == 0
        if self.solver == "nystrom" and undamped:
            raise ValueError(f"{self.owner()}: damping=0.0 is outside (0, inf) for 'nystrom'")
        return self

    def damped(self, product: Product) -> Product:
        """Multiplies with A + damping, where `product` multiplies with A."""
        return lambda v: product(v) + jnp.asarray(self.damping, v.dtype) * v

    def solve(self, product: Product, rhs: jax.Array, key: Any = None) -> Solved:
        """Solves (A + damping) x = rhs, where `product` multiplies with A + damping."""
        looked = jnp.full([], jnp.inf, rhs.dtype)
        seen = linalg.Krylov(rhs, jnp.zeros([], jnp.int32), looked, jnp.zeros_like(looked))
        if self.solver in KRYLOV:
            limit = self.max_steps or 10 * rhs.size
            seen = KRYLOV[self.solver](product, rhs, self.limit(rhs.dtype), limit)
        elif self.solver in EXACT:
            seen = self._by_lineax(product, rhs, seen)
        elif self.solver == "nystrom":
            seen = self._by_nystrom(product, rhs, seen, key)
        else:
            seen = self._by_neumann(product, rhs, seen)
        return self._judged(product, rhs, seen)

    def limit(self, dtype: Any) -> Any:
        """The tolerance; the root of the precision, unless a user said otherwise."""
        return jnp.finfo(dtype).eps ** 0.5 if self.tolerance is None else self.tolerance

    def _by_neumann(self, product: Product, rhs: jax.Array, seen: linalg.Krylov) -> linalg.Krylov:
        alpha, steps = self.learning_rate, self.steps or 0
        alpha = 1.0 if alpha is None else jnp.asarray(alpha, rhs.dtype)

        def term(carry: tuple, _: Any) -> tuple:
            p, v = carry
            v = v - alpha * product(v)
            return (p + v, v), None

        p = lax.scan(term, (rhs, rhs), None, length=steps)[0][0] if steps else rhs
        return seen._replace(x=alpha * p, iterations=jnp.asarray(steps, jnp.int32))

    def _by_nystrom(
        self, product: Product, rhs: jax.Array, seen: linalg.Krylov, key: Any
    ) -> linalg.Krylov:
        rank = self.rank or 1
        if rank > rhs.size:
            raise ValueError(f"{self.owner()}: rank={rank} is more than the {rhs.size} parameters")
        if key is None:
            raise TypeError(f"{self.owner()}: solver='nystrom' draws columns and needs key=…")
        rho = jnp.asarray(self.damping, rhs.dtype)
        drawn = jax.random.choice(key, rhs.size, (rank,), replace=False)
        rows = jax.vmap(product)(
            jnp.zeros((rank, rhs.size), rhs.dtype).at[jnp.arange(rank), drawn].set(1)
        )
        rows = rows.at[jnp.arange(rank), drawn].add(-rho)  # of A alone
        square = (rows[:, drawn] + rows[:, drawn].T) / 2
        inside, turn = linalg.eigh(square + rows @ rows.T / rho)
        # Of a matrix of lower rank than asked for, the columns are dependent.
        zero = jnp.abs(inside) <= rank * jnp.finfo(rhs.dtype).eps * jnp.max(jnp.abs(inside))
        inverse = jnp.where(zero, 0, 1 / jnp.where(zero, 1, inside))
        x = rhs / rho - rows.T @ (turn @ (inverse * (turn.T @ (rows @ rhs)))) / rho**2
        values = jnp.linalg.eigvalsh(lax.stop_gradient(square))
        return seen._replace(
            x=x,
            iterations=jnp.asarray(rank, jnp.int32),
            curvature=values[0] + rho,
            scale=jnp.max(jnp.abs(values)) + rho,
        )

    def _by_lineax(self, product: Product, rhs: jax.Array, seen: linalg.Krylov) -> linalg.Krylov:
        lx = needed("lineax", f"{self.owner()}(solver={self.solver!r})")
        structure = jax.ShapeDtypeStruct(rhs.shape, rhs.dtype)
        if self.solver == "dense":
            matrix = jax.vmap(product)(jnp.eye(rhs.size, dtype=rhs.dtype)).T
            values = jnp.linalg.eigvalsh((matrix + matrix.T) / 2)
            found = lx.linear_solve(lx.MatrixLinearOperator(matrix), rhs, lx.LU(), throw=False)
            scale = jnp.max(jnp.abs(values))
            return seen._replace(x=found.value, curvature=values[0], scale=scale)
        # Of length one, a right-hand side makes absolute tolerances relative.
        size = core.norm(rhs)
        unit = jnp.where(size > 0, core.divide(rhs, size), 1)
        tolerance = self.limit(rhs.dtype) / 2
        limits = {"rtol": tolerance, "atol": tolerance, "max_steps": self.max_steps}
        limits["norm"] = lx.internal.two_norm
        scale = 1.0
        if self.solver == "bicgstab":
            # It takes one step more after the residual is zero, to NaN, unless steps are small:
            # of an operator that is large they are.
            scale, solver = 1 / jnp.finfo(rhs.dtype).eps, lx.BiCGStab(**limits)
        elif self.solver == "gmres":
            solver = lx.GMRES(**limits)
        else:
            solver = lx.Normal(lx.CG(**limits))
        operator = lx.FunctionLinearOperator(lambda v: scale * product(v), structure)
        found = lx.linear_solve(operator, unit, solver, throw=False)
        x = found.value * scale
        if self.solver == "bicgstab":
            # Its first step ends in NaN where half of it is the solution: an eigenvector.
            along = core.divide(1.0, jnp.vdot(unit, product(unit))) * jnp.vdot(unit, unit)
            x = jnp.where(jnp.all(jnp.isfinite(x)), x, along * unit)
        x = x * size
        return seen._replace(x=x, iterations=found.stats["num_steps"])

    def _judged(self, product: Product, rhs: jax.Array, seen: linalg.Krylov) -> Solved:
        image = product(seen.x)
        size, length = core.norm(rhs), core.norm(seen.x)
        residual = core.divide(core.norm(image - rhs), size)
        # The curvature along the solution costs nothing more.
        along = core.divide(jnp.vdot(seen.x, image), length**2)
        curvature = jnp.where(length > 0, jnp.minimum(seen.curvature, along), seen.curvature)
        scale = jnp.maximum(seen.scale, core.divide(core.norm(image), length))
        rounding = 100 * jnp.finfo(rhs.dtype).eps * scale
        bent, flat = curvature < -rounding, seen.curvature <= 0
        converged = residual <= self.limit(rhs.dtype)
        finite = jnp.isfinite(residual)
        if self.solver in EXACT:
            failed = ~converged | (flat if self.solver == "cg" else False)
            reason = jnp.where(flat, 0, 1) if self.solver == "cg" else 1
        else:
            failed = residual > 1 if self.solver == "neumann" else False
            reason = 2
        return Solved(
            seen.x,
            residual,
            jnp.asarray(seen.iterations, jnp.int32),
            converged & finite,
            curvature,
            bent,
            failed | ~finite,
            jnp.where(finite, reason, 3),
        )


@core.builds(LinearSolver)
def linear_solver(
    solver: str = "normal_cg",
    *,
    damping: Scalar = 0.0,
    learning_rate: Scalar | None = None,
    tolerance: Scalar | None = None,
    steps: int | None = None,
    max_steps: int | None = None,
    on_failure: str = "raise",
):
    r"""How the linear systems of `custom_root` and `custom_fixed_point` are solved.

    $$(A + \rho I)\, x = b$$

    with A the derivative of the optimality conditions by the solution (of x − T(x) for a fixed
    point), or its transpose in reverse mode.

    Args:
      solver: `"cg"` (A symmetric positive definite), `"minres"` (symmetric), `"gmres"`,
        `"bicgstab"`, `"normal_cg"` (conjugate gradients on AᵀA), `"dense"` (A is formed and
        factorised), or the approximations `"neumann"`, α Σⱼ (I − αA)ʲ b for j up to `steps`, and
        `"one_step"`, α b. For a fixed point α = 1 makes the latter two the derivative of
        `steps` + 1 iterations, and of one.
      damping: ρ [units of A], in [0, inf).
      learning_rate: α [units of 1/A], in (0, inf), for the approximations alone.
      tolerance: how small a residual has to be [share of ‖b‖], in [0, 1). None: the root of the
        precision, 1.5e-8 in float64 and 3.5e-4 in float32.
      steps: of `"neumann"`, at least 0.
      max_steps: after which an iteration gives up; None: ten times the number of unknowns.
      on_failure: what becomes of a derivative whose system was not solved. `"raise"` raises,
        under `jit` when the program runs; `"nan"` makes it NaN, lane by lane under `vmap`;
        `"ignore"` lets it pass.

    Returns:
      The solver, as data. State: none.

    Raises:
      ValueError: a number outside its range, or an option that the solver does not take.

    Example:
      >>> import gradlab as gl
      >>> gl.meta.linear_solver("gmres", tolerance=1e-10)
      linear_solver(solver='gmres', damping=0.0, tolerance=1e-10)
    """


def needed(module: str, what: str) -> Any:
    """A module of the extra `meta`.

    Raises:
      ModuleNotFoundError: it is not installed.
    """
    import importlib

    try:
        found = importlib.import_module(module)
        if module == "lineax":
            importlib.import_module("lineax.internal")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{what} needs {module}: pip install 'gradlab[meta]'", name=module
        ) from error
    return found


def guarded(owner: str, on_failure: str, x: Any, solved: Solved) -> Any:
    """A tree that depends on a solution, and what is to be seen of it where that failed.

    Args:
      owner: what messages are of.
      on_failure: `"raise"`, `"nan"` or `"ignore"`.
      x: the tree.
      solved: the solution.

    Returns:
      The tree; NaN where the solution failed and `on_failure` is `"nan"`.

    Raises:
      RuntimeError: it failed, and `on_failure` is `"raise"`.
    """
    return told(owner, on_failure, x, solved.failed, solved.reason, REASONS)


def told(
    owner: str, on_failure: str, x: Any, failed: Any, reason: Any, reasons: tuple[str, ...]
) -> Any:
    """`guarded`, of anything that may fail for one of some reasons."""
    if on_failure == "ignore":
        return x
    if on_failure == "nan":
        return jax.tree.map(lambda leaf: jnp.where(failed, jnp.nan, leaf), x)
    messages = [f"{owner}: {reason}" for reason in reasons]
    if isinstance(failed, Tracer):
        eqx = needed("equinox", f"{owner}(on_failure='raise')")
        return eqx.branched_error_if(x, failed, reason, messages)
    if failed:
        raise RuntimeError(messages[int(reason)])
    return x


def flattened(tree: Any) -> tuple[jax.Array, Callable[[jax.Array], Any]]:
    """A tree as one vector, in float32 or wider, and the way back to the tree's dtypes."""
    vector, back = ravel_pytree(tree)
    return vector.astype(core.compute_dtype(vector)), lambda v: back(v.astype(vector.dtype))


def check_real(owner: str, name: str, tree: Any) -> None:
    """Raises where a tree that is differentiated has a leaf that is no real number.

    Raises:
      TypeError: there is such a leaf; the message names its path.
      ValueError: there is no leaf at all.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    if not leaves:
        raise ValueError(f"{owner}: {name} has no arrays")
    for path, leaf in leaves:
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            where = f"{name}{jax.tree_util.keystr(path)}"
            raise TypeError(f"{owner}: {where} is of dtype {dtype}, expected real floating point")
