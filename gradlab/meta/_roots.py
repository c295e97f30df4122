"""Derivatives of solutions that are known by the equations which they satisfy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer, eval_jaxpr

from gradlab import core
from gradlab.meta import _linear

UNITED = ("neumann", "one_step")
"""Approximations whose learning rate is one for a fixed point."""


def adopted(owner: str, solver: Any, **defaults: Any) -> Callable[..., Any]:
    """A function that solves linear systems of flat vectors, from what a user chose.

    Args:
      owner: what messages are of.
      solver: a name, a `linear_solver`, or a function of a matrix-vector product and a
        right-hand side, both with trees.
      **defaults: options of the approximations that are chosen by name.
    """
    if isinstance(solver, str):
        options = defaults if solver in UNITED else {}
        solver = core.build(_linear.LinearSolver, owner, solver=solver, **options)
    if isinstance(solver, _linear.LinearSolver):
        if solver.solver == "nystrom":
            raise ValueError(f"{owner}: solver='nystrom' is for implicit_hypergradient alone")
        return functools.partial(_solve, owner, solver)
    if not callable(solver):
        raise TypeError(f"{owner}: solver={solver!r} is no name, linear_solver or function")
    return functools.partial(_solve_by_hand, solver)


def _solve(owner: str, linear: Any, back: Callable, product: Callable, rhs: jax.Array) -> Any:
    del back

    def solve(damped: Callable, rhs: jax.Array) -> jax.Array:
        solved = linear.solve(damped, rhs)
        return _linear.guarded(owner, linear.on_failure, solved.x, solved)

    return lax.custom_linear_solve(linear.damped(product), rhs, solve, solve)


def _solve_by_hand(linear: Any, back: Callable, product: Callable, rhs: jax.Array) -> Any:
    def solve(product: Callable, rhs: jax.Array) -> jax.Array:
        found = linear(lambda v: back(product(_linear.flattened(v)[0])), back(rhs))
        return _linear.flattened(found)[0]

    return lax.custom_linear_solve(product, rhs, solve, solve)


def differentiated(
    owner: str, residual: Callable[..., Any], linear: Callable, has_aux: bool, solver: Callable
) -> Callable[..., Any]:
    """A solver with the derivative of the implicit function theorem.

    Args:
      owner: what messages are of.
      residual: `residual(solution, *args, **kwargs)` is zero, a tree like the solution.
      linear: as `adopted` makes it.
      has_aux: whether the solver gives something beside the solution.
      solver: `solver(init, *args, **kwargs)`.
    """
    if not callable(solver):
        raise TypeError(f"{owner}: decorates a solver, a function; got {solver!r}")

    @functools.wraps(solver)
    def solve(init: Any, *args: Any, **kwargs: Any) -> Any:
        # How the solution was found has no part in its derivative.
        init, args_, kwargs_ = jax.tree.map(held, (init, args, kwargs))
        found = jax.tree.map(held, solver(init, *args_, **kwargs_))
        x = found[0] if has_aux else found
        _linear.check_real(owner, "the solution", x)
        numbers, conditions = separated(residual, x, args, kwargs)
        check_like(owner, x, jax.eval_shape(conditions, x, numbers))
        x = _implicit(conditions, linear, x, numbers)
        return (x, *found[1:]) if has_aux else x

    return solve


def _implicit(conditions: Callable, linear: Callable, found: Any, numbers: list) -> Any:
    """What was found, as a function of the numbers for which it meets the conditions."""

    @jax.custom_jvp
    def root(found: Any, numbers: list) -> Any:
        del numbers
        return found

    def rule(primals: tuple, tangents: tuple) -> tuple:
        found, numbers = primals
        x = root(found, numbers)  # which has derivatives itself, for those of higher order
        moving = {i: t for i, t in enumerate(tangents[1]) if _moves(t)}
        places = {i: numbers[i] for i in moving}

        def left(x: Any, moved: dict[int, Any]) -> Any:
            return conditions(x, [moved.get(i, n) for i, n in enumerate(numbers)])

        _, change = jax.jvp(lambda moved: left(x, moved), (places,), (moving,))
        _, slope = jax.linearize(lambda x: left(x, places), x)
        vector, back = _linear.flattened(x)

        def product(v: jax.Array) -> jax.Array:
            return _linear.flattened(slope(back(v)))[0].astype(v.dtype)

        rhs = -_linear.flattened(change)[0].astype(vector.dtype)
        return x, back(linear(back, product, rhs))

    root.defjvp(rule, symbolic_zeros=True)
    return root(found, numbers)


def separated(residual: Callable, x: Any, args: tuple, kwargs: dict) -> tuple[list, Callable]:
    """The residual as a function of the solution and of all numbers that it depends on.

    Those that it closes over are among them: a derivative by them would be lost otherwise.
    """
    leaves, treedef = jax.tree.flatten((args, kwargs))
    numeric = (jax.Array, np.ndarray, np.generic, float, int, complex)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, numeric)]

    def with_numbers(x: Any, numbers: list) -> Any:
        filled = list(leaves)
        for place, number in zip(places, numbers, strict=True):
            filled[place] = number
        args, kwargs = treedef.unflatten(filled)
        return residual(x, *args, **kwargs)

    given = [leaves[i] for i in places]
    traced, shapes = jax.make_jaxpr(with_numbers, return_shape=True)(x, given)
    outputs = jax.tree.structure(shapes)

    def conditions(x: Any, numbers: list) -> Any:
        given, closed = numbers[: len(places)], numbers[len(places) :]
        flat = eval_jaxpr(traced.jaxpr, closed, *jax.tree.leaves((x, given)))
        return outputs.unflatten(flat)

    return [*given, *traced.consts], conditions


def _moves(tangent: Any) -> bool:
    known_zero = isinstance(tangent, jax.custom_derivatives.SymbolicZero)
    return not known_zero and getattr(tangent, "dtype", None) != jax.dtypes.float0


def held(x: Any) -> Any:
    return lax.stop_gradient(x) if isinstance(x, Tracer) else x


def check_like(owner: str, x: Any, left: Any) -> None:
    """Raises where optimality conditions are not as many as the unknowns."""
    ours, theirs = (
        {jax.tree_util.keystr(p): jnp.shape(v) for p, v in jax.tree_util.tree_leaves_with_path(t)}
        for t in (x, left)
    )
    for path in [*ours, *theirs]:
        if ours.get(path) != theirs.get(path):
            raise ValueError(
                f"{owner}: conditions and solution are to be trees of the same shapes; at "
                f"{path or 'the root'} they are {theirs.get(path, 'missing')} and "
                f"{ours.get(path, 'missing')}"
            )
    if jax.tree.structure(x) != jax.tree.structure(left):
        raise ValueError(
            f"{owner}: conditions and solution are to be trees of the same structure, not "
            f"{jax.tree.structure(left)} and {jax.tree.structure(x)}"
        )
